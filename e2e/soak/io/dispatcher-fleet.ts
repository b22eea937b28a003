/**
 * The dispatchers of a soak by name: started, ended in every way, and asked for what they have counted.
 *
 * Always true: two with the same name never run at once; one that was not told to end counts as a problem when it did.
 */
import { waitFor } from '@knative-kafka/local-cluster';
import { metric, patienceMs, type Service, type World } from '../../local/harness.ts';

const outcomes = ['delivered', 'dead-lettered', 'kept', 'dropped'] as const;
const dispatched = 'knative_kafka_dispatch_events_total';

export class DispatcherFleet {
  readonly #world: World;
  readonly #env: Readonly<Record<string, string>>;
  readonly #running = new Map<string, Service>();
  readonly #problems: string[] = [];
  #dropped = 0;

  constructor(world: World, env: Readonly<Record<string, string>>) {
    this.#world = world;
    this.#env = env;
  }

  get names(): readonly string[] {
    return [...this.#running.keys()];
  }

  /** Events that dispatchers said they dropped, as of the last time each was asked. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Resolves when each consumer group has its partitions. */
  async start(name: string): Promise<void> {
    this.#running.set(name, await this.#world.dispatcher({ env: { POD_NAME: name, ...this.#env } }));
  }

  /** SIGTERM; resolves when it has ended. */
  async terminate(name: string): Promise<void> {
    const service = await this.#take(name);
    service.process.signal('SIGTERM');
    const exit = await waitFor(`the end of ${name}`, () => (service.process.isRunning() ? undefined : service.process.exited), { timeoutMs: patienceMs });
    if (exit.code !== 0) this.#problems.push(`${name} ended with ${exit.signal ?? `code ${exit.code ?? '?'}`} after SIGTERM:\n${lastOutput(service)}`);
  }

  /** SIGKILL; resolves when it has ended. */
  async kill(name: string): Promise<void> {
    const service = await this.#take(name);
    service.process.signal('SIGKILL');
    await service.process.exited;
  }

  freeze(name: string): void {
    this.#running.get(name)!.process.signal('SIGSTOP');
  }

  thaw(name: string): void {
    this.#running.get(name)!.process.signal('SIGCONT');
  }

  /** How often it was given partitions, by Subscription. */
  assignments(name: string): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    for (const line of this.#running.get(name)!.process.output().split('\n')) {
      if (!line.includes('"partitions assigned"') || !line.endsWith('}')) continue;
      const { subscription, partitions } = JSON.parse(line) as { readonly subscription: string; readonly partitions: readonly number[] };
      if (partitions.length > 0) counts.set(subscription, (counts.get(subscription) ?? 0) + 1);
    }
    return counts;
  }

  /** Until it was given partitions of each Subscription anew, since it was asked for its `assignments`. */
  async untilAssignedAnew(name: string, before: ReadonlyMap<string, number>): Promise<void> {
    await waitFor(`${name} to have partitions again`, () => {
      const now = this.assignments(name);
      return [...before].every(([subscription, count]) => (now.get(subscription) ?? 0) > count);
    }, { timeoutMs: patienceMs });
  }

  /** A metric of all that run. */
  async sum(name: string, labels: Record<string, string>): Promise<number> {
    const values = await Promise.all([...this.#running.values()].map((service) => metric(service, name, labels)));
    return values.reduce((sum, value) => sum + value, 0);
  }

  /** `<subscription> <outcome>` to how many events all that run have counted. */
  async outcomes(subscriptions: readonly string[]): Promise<Record<string, number>> {
    const pairs = subscriptions.flatMap((subscription) => outcomes.map((outcome) => ({ subscription, outcome })));
    return Object.fromEntries(await Promise.all(pairs.map(async (labels) => [`${labels.subscription} ${labels.outcome}`, await this.sum(dispatched, labels)] as const)));
  }


  /** SIGTERM to all. @returns what went wrong with any of them since the beginning */
  async stopAll(): Promise<readonly string[]> {
    await Promise.all(this.names.map((name) => this.terminate(name)));
    return this.#problems;
  }

  async #take(name: string): Promise<Service> {
    const service = this.#running.get(name)!;
    if (!service.process.isRunning()) this.#problems.push(`${name} has ended by itself:\n${lastOutput(service)}`);
    else this.#dropped += await metric(service, dispatched, { outcome: 'dropped' });
    this.#running.delete(name);
    return service;
  }
}

function lastOutput({ process }: Service): string {
  return process.output().split('\n').slice(-8).join('\n');
}
