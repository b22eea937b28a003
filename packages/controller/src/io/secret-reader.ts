/**
 * Secrets of users' namespaces, read by name when they are needed: nobody may list or watch them there.
 *
 * Always true: what is given was read at most `keepMs` ago, and is forgotten soon after; many who ask for the same Secret
 * at a time make one request.
 */
import { Fault, resourceKey, type ResourceName } from '@knative-kafka/common/core';
import { resourceTypes, type KubernetesApi } from '@knative-kafka/common/io';
import type { SecretObject } from '../core/objects.ts';

export type SecretData = Readonly<Record<string, Buffer>>;

/** For how long a Secret that was read counts, and that there was none. */
const keepMs = 10_000;
const keepMissingMs = 2_000;

interface ReadSecret {
  readonly data: Promise<SecretData | undefined>;
  /** Of `performance.now()`. */
  untilMs: number;
}

export class SecretReader {
  readonly #api: KubernetesApi;
  /** Those that were read first come first. */
  readonly #secrets = new Map<string, ReadSecret>();

  constructor(api: KubernetesApi) {
    this.#api = api;
  }

  /**
   * @returns the values, decoded; undefined where there is no such Secret, or we may not read it
   * @throws Fault KUBERNETES_UNAVAILABLE
   */
  async read(secret: ResourceName): Promise<SecretData | undefined> {
    const key = resourceKey(secret);
    const now = performance.now();
    const known = this.#secrets.get(key);
    if (known !== undefined && now < known.untilMs) return known.data;
    this.#forgetOld(now);
    const reading: ReadSecret = { data: this.#get(secret), untilMs: Infinity };
    this.#secrets.delete(key);
    this.#secrets.set(key, reading);
    try {
      const data = await reading.data;
      reading.untilMs = performance.now() + (data === undefined ? keepMissingMs : keepMs);
      return data;
    } catch (error) {
      if (this.#secrets.get(key) === reading) this.#secrets.delete(key);
      throw error;
    }
  }

  #forgetOld(now: number): void {
    for (const [key, { untilMs }] of this.#secrets) {
      if (untilMs > now) return;
      this.#secrets.delete(key);
    }
  }

  async #get(secret: ResourceName): Promise<SecretData | undefined> {
    try {
      const object = await this.#api.get<SecretObject>(resourceTypes.secret, secret);
      return object === undefined ? undefined : Object.fromEntries(Object.entries(object.data ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64')]));
    } catch (error) {
      if (error instanceof Fault && error.code === 'KUBERNETES_REFUSED') return undefined;
      throw error;
    }
  }
}
