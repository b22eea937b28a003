/**
 * From the files of a folder to the resources in force.
 *
 * A mistake must not stop other people's events. So a document that is wrong is left out and reported, everything else
 * goes on, and a resource that was valid before stays as it was while its file exists. Deleting the document, or the
 * file, deletes the resource.
 *
 * Always true: which resources are in force depends on the files, their names and, for documents that are wrong, on
 * what was valid before, but not on the order in which files changed; a generation moves exactly when a `spec` does.
 */
import type { ManifestFile, ManifestProblem, ManifestResource } from '../manifests.ts';
import { readManifests, unreadableManifests } from '../manifests.ts';
import { fillSubscribers } from './channel-subscribers.ts';
import type { DestinationLookups } from './destination.ts';
import { resolveDestination } from './destination.ts';
import type { KafkaChannel } from './kafka-channel.ts';
import type { KafkaSource, ServedSource } from './kafka-source.ts';
import type { ResourceName } from './metadata.ts';
import { resourceId, resourceKey } from './metadata.ts';
import type { Resources } from './resources.ts';
import { noResources } from './resources.ts';
import type { Subscription } from './subscription.ts';

/** A file as it was found: its text, or why there is none. */
export type FolderFile =
  | { readonly name: string; readonly text: string }
  | { readonly name: string; readonly unreadable: string };

/** What has to be known from one reading of the folder to the next. */
export interface FolderState {
  readonly resources: Resources;
  readonly files: ReadonlyMap<string, FileState>;
  /** By resource id. */
  readonly generations: ReadonlyMap<string, Generation>;
}

interface FileState {
  /** undefined if it could not be read. */
  readonly text: string | undefined;
  readonly problems: readonly ManifestProblem[];
  /** In the order of the file; an id can be there twice. */
  readonly inForce: readonly PlacedResource[];
}

interface PlacedResource {
  readonly id: string;
  readonly resource: ManifestResource;
  readonly document: number;
  readonly line: number;
  /** Its document is wrong now, and this is what it said when it was right. */
  readonly isKept: boolean;
}

interface Generation {
  readonly generation: number;
  /** Serialized. */
  readonly spec: string;
}

export interface FolderSettings {
  /** URL that takes the events of a KafkaChannel. */
  readonly channelUrl: (channel: ResourceName) => string;
  /** Usually `cluster.local`. */
  readonly clusterDomain: string;
}

export const emptyFolder: FolderState = { resources: noResources, files: new Map(), generations: new Map() };

/**
 * The state after a reading of the folder.
 *
 * @param files all of them, in any order; those whose text is as before cost nothing
 */
export function nextFolderState(
  previous: FolderState,
  files: readonly FolderFile[],
  settings: FolderSettings,
): FolderState {
  const sorted = [...files].sort((a, b) => compareText(a.name, b.name));
  const states = new Map(sorted.map((file) => [file.name, nextFileState(previous.files.get(file.name), file)]));
  const { placed, problems } = withoutDuplicates(states);
  problems.unshift(...[...states.values()].flatMap((state) => state.problems));

  const generations = new Map<string, Generation>();
  const count = <R extends KafkaChannel | Subscription | KafkaSource>(resource: R): R => {
    const id = resourceId(resource.kind, resource.metadata);
    const spec = JSON.stringify(resource.spec);
    const before = previous.generations.get(id);
    const generation = before === undefined ? 1 : before.generation + (before.spec === spec ? 0 : 1);
    generations.set(id, { generation, spec });
    return { ...resource, metadata: { ...resource.metadata, generation } };
  };

  const ofKind = <K extends ManifestResource['kind']>(kind: K): Extract<ManifestResource, { kind: K }>[] =>
    [...placed.values()]
      .map(({ resource }) => resource)
      .filter((resource): resource is Extract<ManifestResource, { kind: K }> => resource.kind === kind)
      .sort((a, b) => compareText(resourceKey(a.metadata), resourceKey(b.metadata)));

  const channels = ofKind('KafkaChannel');
  const lookups: DestinationLookups = {
    hasService: (namespace, name) => placed.has(resourceId('Service', { namespace, name })),
    addresses: ({ apiVersion, kind, namespace, name }) => {
      const object = resourceId(kind, { namespace, name });
      if (kind !== 'KafkaChannel' || !apiVersion.startsWith('messaging.knative.dev/')) {
        return { problem: `cannot resolve ${apiVersion} ${object}: only v1 Service and messaging.knative.dev KafkaChannel are known` };
      }
      if (!placed.has(object)) return { problem: `${object} does not exist` };
      return [{ name: 'http', url: settings.channelUrl({ namespace, name }) }];
    },
    clusterDomain: settings.clusterDomain,
  };
  // Subscriptions first: an entry of spec.subscribers carries the generation of its Subscription.
  const filled = fillSubscribers(channels, ofKind('Subscription').map(count), lookups);
  for (const { subscription, conditions } of filled.subscriptions) {
    const id = resourceId('Subscription', subscription.metadata);
    const unresolved = conditions.find(({ type, status }) => type === 'ReferencesResolved' && status !== 'True');
    const place = placed.get(id);
    if (unresolved === undefined || place === undefined) continue;
    problems.push(problemAt(place, 'warning', `not added to its channel: ${unresolved.message ?? ''}`));
  }
  const sources = ofKind('KafkaSource').map(count).flatMap((source) => {
    const served = resolveSource(source, lookups);
    if (!('problem' in served)) return [served];
    const place = placed.get(resourceId(source.kind, source.metadata));
    if (place !== undefined) problems.push(problemAt(place, 'warning', `not served: ${served.problem}`));
    return [];
  });
  return {
    resources: {
      channels: filled.channels.map(count),
      subscriptions: filled.subscriptions,
      sources,
      secrets: ofKind('Secret'),
      configMaps: ofKind('ConfigMap'),
      problems: problems.sort((a, b) => compareText(a.file, b.file) || a.document - b.document),
    },
    files: states,
    generations,
  };
}

/** A KafkaSource with its destinations resolved; or why they are not. */
function resolveSource(source: KafkaSource, lookups: DestinationLookups): ServedSource | { readonly problem: string } {
  const { metadata: { namespace }, spec: { sink, delivery } } = source;
  const resolvedSink = resolveDestination(sink, 'sink', namespace, lookups);
  if ('error' in resolvedSink) return { problem: `spec.sink: ${resolvedSink.error.message}` };
  const deadLetterSink = delivery?.deadLetterSink === undefined ? undefined : resolveDestination(delivery.deadLetterSink, 'deadLetterSink', namespace, lookups);
  if (deadLetterSink !== undefined && 'error' in deadLetterSink) return { problem: `spec.delivery.deadLetterSink: ${deadLetterSink.error.message}` };
  return { source, sink: resolvedSink, deadLetterSink, placements: undefined, needsInitialOffsets: true };
}

function nextFileState(previous: FileState | undefined, file: FolderFile): FileState {
  const text = 'text' in file ? file.text : undefined;
  if (previous !== undefined && text !== undefined && previous.text === text) return previous;
  const read = 'text' in file ? readManifests(file.name, file.text) : unreadableManifests(file.name, file.unreadable);
  return { text, problems: read.problems, inForce: merge(read, previous?.inForce ?? []) };
}

/** Puts the last valid version in the place of what is wrong now. */
function merge(read: ManifestFile, before: readonly PlacedResource[]): readonly PlacedResource[] {
  const named = new Set(read.entries.map((entry) => entry.id));
  const valid = new Set(read.entries.filter((entry) => entry.resource !== undefined).map((entry) => entry.id));
  const inForce: PlacedResource[] = [];
  for (const { id, resource, document, line } of read.entries) {
    if (id !== undefined && resource !== undefined) inForce.push({ id, resource, document, line, isKept: false });
    // A document so broken that it does not say who it is may be any of those that are missing now.
    const isMeant = (last: PlacedResource): boolean =>
      resource === undefined && (id === undefined ? !named.has(last.id) : id === last.id && !valid.has(id));
    for (const last of before) {
      if (isMeant(last) && !inForce.some((placed) => placed.id === last.id)) {
        inForce.push({ ...last, document, line, isKept: true });
      }
    }
  }
  return inForce;
}

interface PlacedInFile extends PlacedResource {
  readonly file: string;
}

/**
 * Of several documents for one resource the first counts, by name of the file and then by place in it; what is only
 * kept because of a mistake counts where there is no other.
 */
function withoutDuplicates(files: ReadonlyMap<string, FileState>): {
  placed: Map<string, PlacedInFile>;
  problems: ManifestProblem[];
} {
  const placed = new Map<string, PlacedInFile>();
  const byUid = new Map<string, PlacedInFile>();
  const problems: ManifestProblem[] = [];
  const all = [...files].flatMap(([file, { inForce }]) => inForce.map((resource) => ({ ...resource, file })));
  for (const here of [...all.filter(({ isKept }) => !isKept), ...all.filter(({ isKept }) => isKept)]) {
    // A uid names a consumer group: two Subscriptions with one uid would take each other's events.
    const uid = `${here.resource.kind} ${here.resource.metadata.uid}`;
    const first = placed.get(here.id);
    const namesake = byUid.get(uid);
    if (first === undefined && namesake === undefined) {
      placed.set(here.id, here);
      byUid.set(uid, here);
      if (here.isKept) problems.push(problemAt(here, 'info', 'its last valid version stays in force'));
    } else if (!here.isKept && first !== undefined) {
      problems.push(problemAt(here, 'error', `is there already, in ${where(first)}; the first one counts`));
    } else if (!here.isKept && namesake !== undefined) {
      const message = `has the uid of ${namesake.id} in ${where(namesake)}; leave metadata.uid out`;
      problems.push({ ...problemAt(here, 'error', message), field: 'metadata.uid' });
    }
  }
  return { placed, problems };
}

function where(place: PlacedInFile): string {
  return `${place.file}, line ${place.line}`;
}

function problemAt(place: PlacedInFile, level: ManifestProblem['level'], message: string): ManifestProblem {
  return { level, file: place.file, document: place.document, line: place.line, resource: place.id, message };
}

/** By code units, so that the order is the same under every locale. */
function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
