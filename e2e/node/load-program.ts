/**
 * Runs in a pod, on nothing but Node: sends events at a steady rate over many keys, the events of a key one after the
 * other, and is the subscriber that they are delivered to. One process, so one clock.
 *
 * Always true: an event that was begun is sent until it is acknowledged; what an outage has held up is not made up for.
 */
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import type { Arrival, LoadRun } from './load-run.ts';

/** What POST /start is told. */
export interface LoadOrder {
  readonly name: string;
  readonly url: string;
  readonly keys: number;
  /** Between two events of a key. */
  readonly everyMs: number;
  /** How long its subscriber takes for each. */
  readonly answerMs: number;
  /** Of an event's data; its id is in it all the same. */
  readonly bytes: number;
  /** It ends by itself after so many events, all keys together. */
  readonly most: number;
}

/** What GET /progress answers, of the run that was started last. */
export interface LoadProgress {
  readonly acknowledged: number;
  /** Different events. */
  readonly delivered: number;
  /** Acknowledged and not delivered yet. */
  readonly missing: number;
  /** Nothing is being sent, nor waits to be sent again. */
  readonly isDone: boolean;
}

interface RunInPod extends LoadRun {
  readonly acknowledged: { id: string; sentAtMs: number; tookMs: number }[];
  readonly arrivals: Arrival[];
  readonly refusals: Record<string, number>;
  readonly delivered: Set<string>;
  readonly answerMs: number;
  begun: number;
  isOn: boolean;
  isDone: boolean;
}

/** Longer than the receiver takes to say 503. */
const answerTimeoutMs = 40_000;
/** Before another attempt, where the answer does not say. */
const retryMs = 200;

const runs = new Map<string, RunInPod>();
let latest: RunInPod | undefined;

function start(order: LoadOrder): void {
  const run: RunInPod = { acknowledged: [], arrivals: [], refusals: {}, delivered: new Set(), answerMs: order.answerMs, begun: 0, isOn: true, isDone: false };
  runs.set(order.name, run);
  latest = run;
  const lanes = Array.from({ length: order.keys }, (_, key) => sendKey(run, order, key));
  void Promise.all(lanes).then(() => (run.isDone = true));
}

async function sendKey(run: RunInPod, order: LoadOrder, key: number): Promise<void> {
  await delay((order.everyMs * key) / order.keys); // not all at once
  for (let number = 0; run.isOn && run.begun < order.most; number++) {
    run.begun++;
    const sentAtMs = Date.now();
    await sendEvent(run, order, `${key}/${number}`);
    run.acknowledged.push({ id: `${key}/${number}`, sentAtMs, tookMs: Date.now() - sentAtMs });
    await delay(Math.max(0, sentAtMs + order.everyMs - Date.now()));
  }
}

async function sendEvent(run: RunInPod, order: LoadOrder, id: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const { answer, retryAfterMs } = await post(order, id, attempt);
    if (answer === '202') return;
    run.refusals[answer] = (run.refusals[answer] ?? 0) + 1;
    await delay(retryAfterMs);
  }
}

/** @returns the status, or why there was none, and when to try again where it is not 202 */
async function post({ name, url, bytes }: LoadOrder, id: string, attempt: number): Promise<{ answer: string; retryAfterMs: number }> {
  const attributes = { 'ce-specversion': '1.0', 'ce-id': `${name}/${id}`, 'ce-source': '/e2e/load', 'ce-type': 'order.placed', 'ce-partitionkey': id.slice(0, id.indexOf('/')), 'ce-attempt': String(attempt) };
  try {
    const headers = { ...attributes, 'content-type': 'application/json' };
    const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify({ id, filling: '.'.repeat(bytes) }), signal: AbortSignal.timeout(answerTimeoutMs) });
    await response.text();
    const retryAfter = response.headers.get('retry-after');
    return { answer: String(response.status), retryAfterMs: retryAfter === null ? retryMs : Number(retryAfter) * 1000 };
  } catch (error) {
    const { name: kind, cause } = error as Error;
    return { answer: (cause as NodeJS.ErrnoException | undefined)?.code ?? kind, retryAfterMs: retryMs };
  }
}

/**
 * Keeps an event that was delivered.
 *
 * @returns how long to take for it, in milliseconds
 */
function take(headers: IncomingHttpHeaders): number {
  const eventId = String(headers['ce-id']); // run/key/number
  const slash = eventId.indexOf('/');
  const run = runs.get(eventId.slice(0, slash));
  const id = eventId.slice(slash + 1);
  // Where it was in Kafka is told by KafkaSources alone.
  const { 'ce-knativekafkapartition': partition, 'ce-knativekafkaoffset': offset } = headers;
  run?.delivered.add(id);
  run?.arrivals.push({ id, attempt: Number(headers['ce-attempt']), atMs: Date.now(), ...(partition === undefined ? {} : { place: `${String(partition)}/${String(offset)}` }) });
  return run?.answerMs ?? 0;
}

function progress(): LoadProgress {
  const { acknowledged = [], delivered = new Set(), isDone = true } = latest ?? {};
  return { acknowledged: acknowledged.length, delivered: delivered.size, missing: acknowledged.filter(({ id }) => !delivered.has(id)).length, isDone };
}

function answerTests(path: string, body: string): unknown {
  if (path === '/start') start(JSON.parse(body) as LoadOrder);
  if (path === '/stop' && latest !== undefined) latest.isOn = false;
  if (!path.startsWith('/runs/')) return progress();
  const { acknowledged = [], arrivals = [], refusals = {} } = runs.get(path.slice('/runs/'.length)) ?? {};
  return { acknowledged, arrivals, refusals } satisfies LoadRun;
}

createServer((request, response) => {
  void text(request).then(async (body) => {
    const { url: path = '', headers } = request;
    if (path !== '/events') return response.end(JSON.stringify(answerTests(path, body)));
    await delay(take(headers));
    return response.writeHead(202).end();
  }, () => response.destroy());
}).listen(8080);
process.on('SIGTERM', () => process.exit(0));
