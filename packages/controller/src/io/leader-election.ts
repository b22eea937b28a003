/**
 * Which of several controllers may write: the one whose name is in a Lease, as long as it renews it.
 *
 * Clocks are not compared. A candidate takes the Lease when it has watched it unchanged for the whole lease duration, by
 * its own clock. The leader counts from the moment before it sent its latest successful renewal, and stops leading after
 * the renew deadline, which is shorter: so it has stopped before anybody else can have begun, by the difference of the
 * two, whatever hangs meanwhile.
 *
 * Always true: `isLeading()` asks the clock, not a timer; once lost, the lead is not taken again by this object; writes
 * through `guard` and `guardKafka` are refused from the moment the lead is lost. What was sent before then has the difference of the two
 * times (a third of the lease duration) to arrive.
 */
import { Fault } from '@knative-kafka/common/core';
import { resourceTypes, type Admin, type KubernetesApi, type KubernetesObject, type Logger } from '@knative-kafka/common/io';

export interface LeaderElectionOptions {
  readonly api: KubernetesApi;
  readonly namespace: string;
  /** Of the Lease. */
  readonly name: string;
  /** One process's own: a pod's name, or a host's name and something random. */
  readonly identity: string;
  /** How long nobody else can lead after the latest renewal; whole seconds, 15 s unless given. The other times follow from it. */
  readonly leaseDurationMs?: number;
  readonly log: Logger;
  readonly onStarted?: () => void;
  /** Called once, when a lead that was had is had no more; not after `stop`. */
  readonly onLost: () => void;
}

export interface LeaderElection {
  isLeading(): boolean;
  /** The same API server, but writes are refused (KUBERNETES_REFUSED) unless this one leads. */
  guard(api: KubernetesApi): KubernetesApi;
  /** The same Kafka, likewise. One and the same for the same admin. */
  guardKafka(admin: Admin): Admin;
  /** Gives the lead away, so that another need not wait. Whatever writes has to be stopped before. */
  stop(): Promise<void>;
}

/** The part of a Lease that counts. @see coordination.k8s.io/v1 */
export interface LeaseObject extends KubernetesObject {
  readonly spec?: {
    readonly holderIdentity?: string;
    readonly leaseDurationSeconds?: number;
    readonly acquireTime?: string;
    readonly renewTime?: string;
    readonly leaseTransitions?: number;
  };
}

/** A Lease as it was last seen, and when it was first seen so. */
export interface ObservedLease {
  readonly lease: LeaseObject;
  readonly sinceMs: number;
}

/** Proportions of client-go: 15 s, 10 s, 2 s; and half of the deadline for one attempt, so that a second fits in. */
const deadlineShare = 10 / 15;
const retryShare = 2 / 15;
const attemptShare = 5 / 15;

/** Whether a candidate may take the Lease. @param nowMs of the clock that `sinceMs` is of */
export function mayTake({ lease: { spec }, sinceMs }: ObservedLease, identity: string, nowMs: number, leaseDurationMs: number): boolean {
  const holder = spec?.holderIdentity ?? '';
  if (holder === '' || holder === identity) return true;
  // The holder's own word for how long it may believe to lead, and never less than ours for a record without one.
  const durationMs = spec?.leaseDurationSeconds === undefined ? leaseDurationMs : spec.leaseDurationSeconds * 1000;
  return nowMs >= sinceMs + durationMs;
}

export function startLeaderElection(options: LeaderElectionOptions): LeaderElection {
  const election = new LeaseElection(options);
  void election.run();
  return election;
}

class LeaseElection implements LeaderElection {
  readonly #options: LeaderElectionOptions;
  readonly #leaseDurationMs: number;
  readonly #renewDeadlineMs: number;
  readonly #retryMs: number;
  readonly #attemptMs: number;
  #observed: ObservedLease | undefined;
  /** Until when it leads; undefined before it does. */
  #leadsUntil: number | undefined;
  #isLost = false;
  #isStopped = false;
  #deadline: NodeJS.Timeout | undefined;
  #wake: (() => void) | undefined;
  #loop: Promise<void> = Promise.resolve();
  #lastProblem = '';
  readonly #guardedAdmins = new WeakMap<Admin, Admin>();

  constructor(options: LeaderElectionOptions) {
    this.#options = options;
    this.#leaseDurationMs = options.leaseDurationMs ?? 15_000;
    this.#renewDeadlineMs = this.#leaseDurationMs * deadlineShare;
    this.#retryMs = this.#leaseDurationMs * retryShare;
    this.#attemptMs = this.#leaseDurationMs * attemptShare;
  }

  isLeading(): boolean {
    return !this.#isLost && !this.#isStopped && this.#leadsUntil !== undefined && performance.now() < this.#leadsUntil;
  }

  guard(api: KubernetesApi): KubernetesApi {
    const refuseUnlessLeading = (): void => this.#refuseUnlessLeading();
    return {
      get: (type, name) => api.get(type, name),
      list: (type, listOptions) => api.list(type, listOptions),
      watch: (type, watchOptions, onEvent) => api.watch(type, watchOptions, onEvent),
      discover: (apiVersion, kind) => api.discover(apiVersion, kind),
      requestCount: () => api.requestCount(),
      create: async (type, object) => {
        refuseUnlessLeading();
        return api.create(type, object);
      },
      replace: async (type, object) => {
        refuseUnlessLeading();
        return api.replace(type, object);
      },
      apply: async (type, object, applyOptions) => {
        refuseUnlessLeading();
        return api.apply(type, object, applyOptions);
      },
      mergePatch: async (type, name, patch, applyOptions) => {
        refuseUnlessLeading();
        return api.mergePatch(type, name, patch, applyOptions);
      },
      delete: async (type, name, deleteOptions) => {
        refuseUnlessLeading();
        return api.delete(type, name, deleteOptions);
      },
    };
  }

  guardKafka(admin: Admin): Admin {
    const known = this.#guardedAdmins.get(admin);
    if (known !== undefined) return known;
    const whileLeading = <Args extends readonly unknown[], T>(call: (...args: Args) => Promise<T>) => async (...args: Args): Promise<T> => {
      this.#refuseUnlessLeading();
      return call(...args);
    };
    const guarded: Admin = {
      ping: () => admin.ping(),
      describeTopic: (topic) => admin.describeTopic(topic),
      listTopics: () => admin.listTopics(),
      groupLag: (groupId, topic) => admin.groupLag(groupId, topic),
      createTopic: whileLeading((spec) => admin.createTopic(spec)),
      deleteTopic: whileLeading((topic) => admin.deleteTopic(topic)),
      growTopic: whileLeading((topic, partitions) => admin.growTopic(topic, partitions)),
      setRetention: whileLeading((topic, retentionMs) => admin.setRetention(topic, retentionMs)),
      commitInitialOffsets: whileLeading((groupId, topic, from) => admin.commitInitialOffsets(groupId, topic, from)),
      deleteGroup: whileLeading((groupId) => admin.deleteGroup(groupId)),
      close: () => admin.close(),
    };
    this.#guardedAdmins.set(admin, guarded);
    return guarded;
  }

  #refuseUnlessLeading(): void {
    if (!this.isLeading()) throw new Fault('KUBERNETES_REFUSED', 'not written: another controller may lead', { retriable: false });
  }

  run(): Promise<void> {
    this.#loop = this.#renewForEver();
    return this.#loop;
  }

  async stop(): Promise<void> {
    const wasLeading = this.isLeading();
    this.#isStopped = true;
    clearTimeout(this.#deadline);
    this.#wake?.();
    await this.#loop;
    const lease = this.#observed?.lease;
    if (!wasLeading || lease === undefined || lease.spec?.holderIdentity !== this.#options.identity) return;
    try {
      const now = microTime();
      await this.#within(this.#options.api.replace<LeaseObject>(resourceTypes.lease, { ...lease, spec: { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1, acquireTime: now, renewTime: now } }));
      this.#options.log.info({ lease: this.#options.name }, 'lead given away');
    } catch (error) {
      this.#options.log.warn({ lease: this.#options.name, err: error }, 'lead not given away, it ends by itself');
    }
  }

  async #renewForEver(): Promise<void> {
    while (!this.#isStopped && !this.#isLost) {
      try {
        await this.#tryOnce();
        this.#lastProblem = '';
      } catch (error) {
        const problem = error instanceof Fault ? error.code : String(error);
        if (problem !== this.#lastProblem && problem !== 'KUBERNETES_CONFLICT') this.#options.log.warn({ lease: this.#options.name, err: error }, 'lease not renewed or looked at, trying again');
        this.#lastProblem = problem;
      }
      await this.#sleep(this.#retryMs * (1 + 0.2 * Math.random()));
    }
  }

  /** Takes the Lease or renews it, if it may. */
  async #tryOnce(): Promise<void> {
    const { api, namespace, name, identity } = this.#options;
    // While it leads, what it wrote last is what is there; if not, the answer is a conflict.
    if (this.isLeading() && this.#observed !== undefined) {
      try {
        return await this.#take(this.#observed.lease);
      } catch (error) {
        if (!(error instanceof Fault) || (error.code !== 'KUBERNETES_CONFLICT' && error.code !== 'KUBERNETES_REFUSED')) throw error;
      }
    }
    const lease = await this.#within(api.get<LeaseObject>(resourceTypes.lease, { namespace, name }));
    if (lease === undefined) return this.#take(undefined);
    this.#see(lease);
    if (mayTake(this.#observed!, identity, performance.now(), this.#leaseDurationMs)) return this.#take(lease);
    if (this.#leadsUntil !== undefined) this.#lose(`held by ${lease.spec?.holderIdentity ?? 'nobody'}`);
  }

  /** @param before undefined to make it */
  async #take(before: LeaseObject | undefined): Promise<void> {
    const { api, namespace, name, identity, log } = this.#options;
    const sentAt = performance.now();
    const now = microTime();
    const isRenewal = before?.spec?.holderIdentity === identity;
    const spec = {
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(this.#leaseDurationMs / 1000),
      acquireTime: isRenewal ? (before.spec.acquireTime ?? now) : now,
      renewTime: now,
      leaseTransitions: (before?.spec?.leaseTransitions ?? 0) + (before === undefined || isRenewal ? 0 : 1),
    };
    const written =
      before === undefined
        ? api.create<LeaseObject>(resourceTypes.lease, { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { namespace, name }, spec })
        : api.replace<LeaseObject>(resourceTypes.lease, { ...before, spec });
    this.#see(await this.#within(written));
    if (this.#isStopped || this.#isLost) return;
    const isFirst = this.#leadsUntil === undefined;
    const leadsUntil = sentAt + this.#renewDeadlineMs;
    // The answer came after the time that it is good for, or the lead ended while it was on its way.
    if (!isFirst && !this.isLeading()) return this.#lose('renewed too late');
    if (performance.now() >= leadsUntil) return;
    this.#leadsUntil = leadsUntil;
    this.#watchDeadline();
    if (!isFirst) return;
    log.info({ lease: name, identity }, 'leading');
    this.#options.onStarted?.();
  }

  #see(lease: LeaseObject): void {
    const { uid, resourceVersion } = this.#observed?.lease.metadata ?? {};
    if (this.#observed !== undefined && uid === lease.metadata.uid && resourceVersion === lease.metadata.resourceVersion) return;
    this.#observed = { lease, sinceMs: performance.now() };
  }

  #watchDeadline(): void {
    clearTimeout(this.#deadline);
    const leftMs = this.#leadsUntil! - performance.now();
    this.#deadline = setTimeout(() => {
      if (!this.isLeading()) this.#lose('not renewed in time');
      else this.#watchDeadline(); // timers may be early by a fraction
    }, Math.max(1, Math.ceil(leftMs)));
  }

  #lose(reason: string): void {
    if (this.#isLost || this.#isStopped) return;
    this.#isLost = true;
    clearTimeout(this.#deadline);
    this.#wake?.();
    this.#options.log.error({ lease: this.#options.name, identity: this.#options.identity, reason }, 'lead lost');
    this.#options.onLost();
  }

  /** An attempt that hangs must leave time for another, whatever the time limit of the API's calls is. What comes of it later is not counted. */
  async #within<T>(attempt: Promise<T>): Promise<T> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => late.reject(new Fault('KUBERNETES_UNAVAILABLE', `no answer within ${this.#attemptMs} ms`, { retriable: true })), this.#attemptMs);
    attempt.catch(() => undefined);
    try {
      return await Promise.race([attempt, late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  #sleep(ms: number): Promise<void> {
    if (this.#isStopped || this.#isLost) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** A time as Leases and Events have it, with six digits. */
export function microTime(atMs: number = Date.now()): string {
  return new Date(atMs).toISOString().replace('Z', '000Z');
}
