/**
 * Secret, ConfigMap and Service of Kubernetes' core group, as far as they are used here.
 */
import type { FieldProblem } from './field-problem.ts';
import type { Manifest, ObjectMeta } from './metadata.ts';
import { parseMetadata } from './metadata.ts';

export interface Secret {
  readonly kind: 'Secret';
  readonly metadata: ObjectMeta;
  /** Decoded. Never to be shown, not even in an error. */
  readonly data: Readonly<Record<string, Buffer>>;
}

export interface ConfigMap {
  readonly kind: 'ConfigMap';
  readonly metadata: ObjectMeta;
  readonly data: Readonly<Record<string, string>>;
}

/** Only that it exists: Destinations refer to it by name. */
export interface Service {
  readonly kind: 'Service';
  readonly metadata: ObjectMeta;
}

export interface SecretManifest extends Manifest {
  /** base64 */
  readonly data?: Readonly<Record<string, string>>;
  /** Plain text; wins over `data`. */
  readonly stringData?: Readonly<Record<string, string>>;
}

export interface ConfigMapManifest extends Manifest {
  readonly data?: Readonly<Record<string, string>>;
}

/** The typed form of a Secret; a value that is no base64 is a problem and left out. No message shows a value. */
export function parseSecret(manifest: SecretManifest): { secret: Secret; problems: readonly FieldProblem[] } {
  const data: Record<string, Buffer> = {};
  const problems: FieldProblem[] = [];
  for (const [key, value] of Object.entries(manifest.data ?? {})) {
    const base64 = value.replace(/\s/g, '');
    if (/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(base64)) {
      data[key] = Buffer.from(base64, 'base64');
    } else {
      problems.push({ path: ['data', key], message: 'expected base64; plain text goes to stringData' });
    }
  }
  for (const [key, value] of Object.entries(manifest.stringData ?? {})) data[key] = Buffer.from(value);
  return { secret: { kind: 'Secret', metadata: parseMetadata(manifest), data }, problems };
}

export function parseConfigMap(manifest: ConfigMapManifest): ConfigMap {
  return { kind: 'ConfigMap', metadata: parseMetadata(manifest), data: manifest.data ?? {} };
}

export function parseService(manifest: Manifest): Service {
  return { kind: 'Service', metadata: parseMetadata(manifest) };
}
