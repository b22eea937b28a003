/**
 * The pictures of docs/VREPLICAS.md: where the vreplicas of a KafkaSource run, and what they are good for there. Drawn from
 * what the controller's own placement answers, so they cannot show something else than what happens.
 */
import { placement, type DispatcherPod } from '@knative-kafka/controller';

export interface Picture {
  readonly partitions: number;
  /** `spec.consumers`. */
  readonly consumers: number;
  /** POD_CAPACITY. */
  readonly capacity: number;
  /** Events per second and vreplica; undefined while the rate limiter is off. */
  readonly maxPollRecords: number | undefined;
}

interface PlacedPod {
  readonly name: string;
  readonly vreplicas: number;
}

const insideOfBox = 38;

/** @returns lines of text, of one width font */
export function drawPicture({ partitions, consumers, capacity, maxPollRecords }: Picture): string {
  const pods = podsOf(consumers, capacity);
  // Kafka gives each member of a group as many as the others, or one more.
  const firstOf = (index: number): number => Math.ceil((partitions * index) / pods.length);
  return pods.map((pod, index) => drawPod(pod, range(firstOf(index), firstOf(index + 1)), maxPollRecords)).join('\n');
}

const sizes: readonly (readonly [consumers: number, capacity: number])[] = [[1, 20], [4, 20], [20, 20], [25, 20], [45, 20], [4, 1], [4, 2], [6, 4]];

/** Of a table: how many vreplicas come to which pod. */
export function placementTable(): string {
  const rows = sizes.map(([consumers, capacity]) => {
    const pods = podsOf(consumers, capacity);
    return `| ${consumers} | ${capacity} | ${pods.length} | ${pods.map(({ vreplicas }) => vreplicas).join(' + ')} |`;
  });
  return ['| `consumers` | `POD_CAPACITY` | pods | vreplicas on `kafka-source-dispatcher-0`, `-1`, … |', '| --- | --- | --- | --- |', ...rows].join('\n');
}

/** Where a source runs that comes to a cluster without any. */
export function podsOf(consumers: number, capacity: number): readonly PlacedPod[] {
  const source = { key: 'default/kafka-source', vreplicas: consumers, before: [] };
  const pods = (count: number): readonly DispatcherPod[] => range(0, count).map((ordinal) => ({ name: `kafka-source-dispatcher-${ordinal}`, state: 'schedulable' }));
  const { replicas } = placement([source], [], capacity);
  const placed = placement([source], pods(replicas), capacity).sources.get(source.key);
  return placed?.placements.map(({ podName, vreplicas }) => ({ name: podName, vreplicas })) ?? [];
}

function drawPod({ name, vreplicas }: PlacedPod, partitions: readonly number[], maxPollRecords: number | undefined): string {
  const isLimited = maxPollRecords !== undefined;
  const marks = vreplicas > 10 ? `${vreplicas} ■` : range(0, vreplicas).map((index) => (index === 0 || isLimited ? '■' : '□')).join(' ');
  const rate = isLimited ? `${vreplicas} × ${maxPollRecords} events/s at most` : 'as fast as it answers';
  const height = Math.max(3, partitions.length);
  const arrow = Math.floor((height - 1) / 2);
  const top = arrow - Math.floor((partitions.length - 1) / 2);
  return range(0, height).map((row) => {
    const isFirst = row === 0;
    const isLast = row === height - 1;
    const box = isFirst ? frame('┌', `─ ${name} `, '┐') : isLast ? frame('└', '', '┘') : inside(row === arrow ? `1 Kafka consumer   vreplicas: ${marks}` : '');
    const left = leftOf(row, partitions, top, row === arrow);
    return `${left}${row === arrow && !isFirst ? box.replace(/│$/, '├') : box}${row === arrow ? `──▶ sink: ${rate}` : ''}`.trimEnd();
  }).join('\n');
}

/** A partition and its line to the box; the arrow is in one row, and the others lead to it. */
function leftOf(row: number, partitions: readonly number[], top: number, isArrow: boolean): string {
  const partition = partitions[row - top];
  const label = partition === undefined ? '' : `partition ${partition}`.padEnd(13);
  if (partitions.length <= 1) return isArrow && partition !== undefined ? `${label}─────▶` : ' '.repeat(19);
  if (partition === undefined) return ' '.repeat(19);
  const [isTop, isBottom] = [row === top, row === top + partitions.length - 1];
  if (isArrow) return `${label}──${isTop ? '┬' : isBottom ? '┴' : '┼'}──▶`;
  return `${label}──${isTop ? '┐' : isBottom ? '┘' : '┤'}   `;
}

function frame(left: string, text: string, right: string): string {
  return `${left}${text.padEnd(insideOfBox, '─')}${right}`;
}

function inside(text: string): string {
  return `│ ${text.padEnd(insideOfBox - 1)}│`;
}

function range(from: number, to: number): readonly number[] {
  return Array.from({ length: to - from }, (_, index) => from + index);
}
