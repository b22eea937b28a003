/**
 * On which pods the vreplicas of KafkaSources run.
 *
 * A pod runs one consumer per source placed on it, however many vreplicas that are: they weigh it, and multiply its
 * rate limit. So two things that look alike cost differently. A source that comes to a pod or leaves one has a member
 * more or less in its consumer group: partitions change hands and pause. Vreplicas that go from one pod of a source to
 * another pod of it move no partition, and what they change matters: partitions are spread evenly whatever the
 * vreplicas, so that with 20 beside 5 the pod with 5 is the slow half of the source.
 *
 * Hence: what is placed stays where it is. Only a source to which something happens (it asks for more or fewer, or a pod
 * went away or holds less) is touched, and is then evened out over the pods that it runs on anyway. 25 over a capacity
 * of 20 are 13 and 12, also when the second pod comes after the first has taken 20.
 *
 * Always true: no pod holds more than the capacity, no source has more than it asks for, and none waits while a pod has
 * room. The answer is the same whatever the order of sources and pods, and the same again when it is put in as what was
 * placed before. A source that has all it asks for, on pods that can still hold it, is left alone, whatever comes and
 * goes beside it. A source comes to at most as many pods as it gets vreplicas, and leaves a pod only when it shrinks,
 * or the pod goes away or is over its capacity.
 */
import type { PodPlacement } from '@knative-kafka/common/core';

/** The StatefulSet; its pods are `<this>-<ordinal>`. */
export const sourceDispatcher = 'kafka-source-dispatcher';

export interface SourceToPlace {
  /** Resource key; no two sources share one. */
  readonly key: string;
  /** Wanted: `spec.consumers`; 0 while the source is paused or being deleted. */
  readonly vreplicas: number;
  /** `status.placements` as it was left by the last call. Entries that make no sense are ignored. */
  readonly before: readonly PodPlacement[];
}

export interface DispatcherPod {
  readonly name: string;
  /**
   * `schedulable`: takes vreplicas; it has a node and no annotation against it. A pod that only restarts is to be reported
   * as that for as long as it is worth waiting for, because others take over what it had as soon as it is not.
   * `pending`: will take some once it has a node. A pod that is missing in the list counts as that, too.
   * `unschedulable`: annotated; will not take any, and one more pod is asked for in its place.
   */
  readonly state: 'schedulable' | 'pending' | 'unschedulable';
}

export interface SourcePlacement {
  /** By ordinal, without pods that have none. */
  readonly placements: readonly PodPlacement[];
  /** Vreplicas that were asked for and have no pod yet. */
  readonly waiting: number;
}

export interface Placement {
  /** By resource key, in the order of the keys. */
  readonly sources: ReadonlyMap<string, SourcePlacement>;
  /**
   * How many replicas the StatefulSet should have: as few as can hold everything, but not below the minimum while there
   * is anything to hold, and one more for each unschedulable pod among them. Fewer than it has take nothing away by
   * themselves: see `placement`.
   */
  readonly replicas: number;
  /** Below this many replicas a pod would go that has vreplicas: its highest ordinal in use, and 1. */
  readonly replicasInUse: number;
}

/**
 * Where vreplicas run, how many wait, and how many pods there should be.
 *
 * Fewer wanted: they go from the highest ordinal first. More: each goes to the pod that has fewest of its source, of
 * those to the one with most room, of those to the lowest ordinal; ordinals that `replicas` does not need are used only
 * while those that it needs have no room. Where room is short, the source that has least comes first: some delivery
 * for all, before much for one.
 *
 * Growing is at once: scale the StatefulSet up to `replicas` and call again when a pod has become schedulable. Shrinking
 * is the caller's decision, because only it has a clock: once `replicas` has been below the size for long enough, leave
 * the pods from that ordinal on out of `pods`. Their vreplicas move to the others (there is room, provided that those
 * are schedulable); scale down when `replicasInUse` no longer needs them.
 *
 * @param capacity    vreplicas that one pod may hold, of all sources together
 * @param minReplicas pods over which vreplicas spread although fewer could hold them: a source of several vreplicas then
 *                    goes on when one of its pods is lost
 * @throws RangeError when the capacity is no integer above 0, a source asks for something other than an integer from 0
 *                    on, or a key or a pod comes twice: a bug in the caller
 */
export function placement(sources: readonly SourceToPlace[], pods: readonly DispatcherPod[], capacity: number, minReplicas = 0): Placement {
  checkArguments(sources, pods, capacity);
  const total = sources.reduce((sum, { vreplicas }) => sum + vreplicas, 0);
  const replicas = replicasFor(Math.max(Math.ceil(total / capacity), Math.min(minReplicas, total)), pods);
  const places = placesOf(pods, capacity, replicas);
  const placeNamed = new Map(places.map((place) => [place.name, place]));
  const shares = [...sources].sort((a, b) => (a.key < b.key ? -1 : 1)).map((source) => keptShare(source, placeNamed, capacity));
  for (const share of shares) removeSurplus(share, places);
  for (const place of places) trimToCapacity(place, shares);
  placeMissing(shares, places);
  evenOut(shares.filter(({ isTouched }) => isTouched), places);
  return {
    sources: new Map(shares.map((share) => [share.key, sourcePlacement(share, places)])),
    replicas,
    replicasInUse: places.reduce((most, { ordinal, room }) => (room < capacity ? Math.max(most, ordinal + 1) : most), 0),
  };
}

/** A pod that takes vreplicas. */
interface Place {
  /** Among the places, and in the counts of a share. */
  readonly index: number;
  readonly ordinal: number;
  readonly name: string;
  /** Whether it stays when the StatefulSet shrinks to what is needed. */
  readonly isNeeded: boolean;
  /** Below 0 until what is too much has been trimmed. */
  room: number;
}

/** What one source has. */
interface Share {
  readonly key: string;
  readonly wanted: number;
  /** Vreplicas by index of the place. */
  readonly counts: number[];
  /** The sum of the counts. */
  placed: number;
  /** Whether it has not just what it had before. */
  isTouched: boolean;
}

function checkArguments(sources: readonly SourceToPlace[], pods: readonly DispatcherPod[], capacity: number): void {
  if (!Number.isSafeInteger(capacity) || capacity < 1) throw new RangeError(`a capacity of ${capacity} vreplicas`);
  const odd = sources.find(({ vreplicas }) => !Number.isSafeInteger(vreplicas) || vreplicas < 0);
  if (odd !== undefined) throw new RangeError(`source ${odd.key} with ${odd.vreplicas} vreplicas`);
  if (new Set(sources.map(({ key }) => key)).size < sources.length) throw new RangeError('a source comes twice');
  if (new Set(pods.map(({ name }) => name)).size < pods.length) throw new RangeError('a pod comes twice');
}

const podNames = new RegExp(`^${sourceDispatcher}-(0|[1-9]\\d*)$`);

/** @returns undefined for a pod that is not the StatefulSet's */
export function ordinalOf(podName: string): number | undefined {
  const ordinal = podNames.exec(podName)?.[1];
  return ordinal === undefined ? undefined : Number(ordinal);
}

/** A StatefulSet has its ordinals without gaps: one that takes nothing is made up for by one more at the end. */
function replicasFor(needed: number, pods: readonly DispatcherPod[]): number {
  const lost = pods.filter(({ state }) => state === 'unschedulable').map(({ name }) => ordinalOf(name) ?? Infinity);
  return lost.sort((a, b) => a - b).reduce((replicas, ordinal) => (ordinal < replicas ? replicas + 1 : replicas), needed);
}

function placesOf(pods: readonly DispatcherPod[], capacity: number, replicas: number): readonly Place[] {
  return pods
    .filter(({ state }) => state === 'schedulable')
    .flatMap(({ name }) => { const ordinal = ordinalOf(name); return ordinal === undefined ? [] : [{ name, ordinal }]; })
    .sort((a, b) => a.ordinal - b.ordinal)
    .map(({ name, ordinal }, index) => ({ index, ordinal, name, isNeeded: ordinal < replicas, room: capacity }));
}

/** What a source keeps of what it had; a place can be over its capacity for the sum of several. */
function keptShare({ key, vreplicas, before }: SourceToPlace, placeNamed: ReadonlyMap<string, Place>, capacity: number): Share {
  const share: Share = { key, wanted: vreplicas, counts: new Array<number>(placeNamed.size).fill(0), placed: 0, isTouched: false };
  const had = before.filter((entry) => Number.isSafeInteger(entry.vreplicas) && entry.vreplicas > 0);
  for (const entry of had) {
    const place = placeNamed.get(entry.podName);
    if (place !== undefined) add(share, place, Math.min(entry.vreplicas, capacity - countOn(share, place)));
  }
  share.isTouched = share.placed < had.reduce((sum, entry) => sum + entry.vreplicas, 0);
  return share;
}

/** @param count below 0 to take away */
function add(share: Share, place: Place, count: number): void {
  share.counts[place.index] = countOn(share, place) + count;
  share.placed += count;
  place.room -= count;
  share.isTouched = true;
}

function countOn(share: Share, place: Place): number {
  return share.counts[place.index]!;
}

/** From the highest ordinal first, because high pods can go when they are empty. */
function removeSurplus(share: Share, places: readonly Place[]): void {
  for (const place of places.toReversed()) {
    const surplus = Math.min(share.placed - share.wanted, countOn(share, place));
    if (surplus > 0) add(share, place, -surplus);
  }
}

/** From whoever has most there, which is the last to lose its only one; of those from who has most in all. */
function trimToCapacity(place: Place, shares: readonly Share[]): void {
  while (place.room < 0) {
    const least = (a: Share, b: Share): number => countOn(a, place) - countOn(b, place) || a.placed - b.placed;
    add(shares.reduce((most, share) => (least(share, most) >= 0 ? share : most)), place, -1);
  }
}

/** One vreplica at a time, for the sources that have least. */
function placeMissing(shares: readonly Share[], places: readonly Place[]): void {
  let room = places.reduce((sum, place) => sum + place.room, 0);
  let missing = shares.filter(({ placed, wanted }) => placed < wanted);
  while (room > 0 && missing.length > 0) {
    const least = missing.reduce((fewest, { placed }) => Math.min(fewest, placed), Infinity);
    for (const share of missing.filter(({ placed }) => placed === least).slice(0, room)) {
      add(share, bestPlace(share, places), 1);
      room--;
    }
    missing = missing.filter(({ placed, wanted }) => placed < wanted);
  }
}

/** One of the places has room. */
function bestPlace(share: Share, places: readonly Place[]): Place {
  let best: Place | undefined;
  for (const place of places) {
    if (place.room > 0 && (best === undefined || preference(share, place, best) < 0)) best = place;
  }
  return best!;
}

function preference(share: Share, a: Place, b: Place): number {
  return Number(b.isNeeded) - Number(a.isNeeded) || fewestFirst(share, a, b);
}

/** Pods with fewest of the source first, then those with most room, then the lowest ordinal. */
function fewestFirst(share: Share, a: Place, b: Place): number {
  return countOn(share, a) - countOn(share, b) || b.room - a.room || a.ordinal - b.ordinal;
}

/** Until there is nothing to even out, because what one source gives up is room for another. */
function evenOut(shares: readonly Share[], places: readonly Place[]): void {
  let hasMoved: boolean;
  do {
    hasMoved = false;
    for (const share of shares) while (moveOne(share, places)) hasMoved = true;
  } while (hasMoved);
}

/**
 * A vreplica from where its source has most to where it has fewest, of the pods that it runs on. An odd one moves, too,
 * to a lower ordinal that is no fuller for it: 13 and 12 rather than 12 and 13. It ends, because the first makes the
 * source more even and the second, which leaves that as it is, only goes down.
 *
 * @returns false when they are even, or there is no room for more evenness
 */
function moveOne(share: Share, places: readonly Place[]): boolean {
  let from: Place | undefined;
  let to: Place | undefined;
  for (const place of places) {
    if (countOn(share, place) === 0) continue;
    if (from === undefined || fewestFirst(share, place, from) > 0) from = place;
    if (place.room > 0 && (to === undefined || fewestFirst(share, place, to) < 0)) to = place;
  }
  if (from === undefined || to === undefined) return false;
  const lead = countOn(share, from) - countOn(share, to);
  if (lead < 1 || (lead === 1 && (to.ordinal > from.ordinal || to.room <= from.room))) return false;
  add(share, from, -1);
  add(share, to, 1);
  return true;
}

function sourcePlacement(share: Share, places: readonly Place[]): SourcePlacement {
  const used = places.filter((place) => countOn(share, place) > 0);
  return {
    placements: used.map((place) => ({ podName: place.name, vreplicas: countOn(share, place) })),
    waiting: share.wanted - share.placed,
  };
}
