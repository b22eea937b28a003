/**
 * Where resources come from: a folder of manifests (folder.ts), or the API server of a cluster (kubernetes.ts).
 *
 * Level-triggered: a listener gets everything there is, not what changed. Whoever listens compares with what it runs.
 */
import type { Secret } from '../../core/resources/core-objects.ts';
import type { ResourceName } from '../../core/resources/metadata.ts';
import type { Resources } from '../../core/resources/resources.ts';

export interface ResourceSource {
  /** The latest state. Until `isSynced` something may be missing from it; nothing may be deleted because of that. */
  snapshot(): Resources;
  /**
   * Calls the listener after every change, with the state after it; never with the same state twice in a row, and not
   * for the state there is now. The listener must not throw.
   * @returns a function that ends it
   */
  onChange(listener: (resources: Resources) => void): () => void;
  /** Whether everything was read at least once. It stays true when the source is lost later: the last state holds. */
  isSynced(): boolean;
  /**
   * One Secret, as it is now. Nothing tells of its changes: who needs them reads it again and again.
   * @returns undefined where there is none, or where it may not (yet) be read
   * @throws Fault KUBERNETES_UNAVAILABLE
   */
  readSecret(name: ResourceName): Promise<Secret | undefined>;
  /** Ends it. No listener is called from this moment on. */
  close(): Promise<void>;
}
