/**
 * docs/TROUBLESHOOTING.md knows every reason that can stand in a condition or an Event, and none that cannot.
 *
 * Conditions are made in many places, so the code is asked, not a list: every capitalised word in quotes of the sources
 * that make conditions is either in the first column of a table of the page, or one of the words below.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../../', import.meta.url));

/** Everything of the controller, and what it shares with others that ends in its conditions. */
const sources = [
  ...readdirSync(`${root}packages/controller/src`, { recursive: true, encoding: 'utf8' }).map((file) => `packages/controller/src/${file}`),
  'packages/common/src/core/topic-plan.ts',
  'packages/common/src/core/resources/conditions.ts',
  'packages/common/src/core/resources/destination.ts',
  'packages/common/src/io/kafka/ensure-topic.ts',
].filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts') && !file.endsWith('smoke-test.ts'));

/** In quotes in these sources, and no reason: statuses, kinds and words of Kubernetes. */
const otherWords = new Set([
  'Ready', 'True', 'False', 'Unknown', 'Info', 'Warning', 'Normal', 'Reconcile', 'Delete',
  'Channel', 'Deployment', 'Event', 'KafkaChannel', 'KafkaSecret', 'KafkaSource', 'Lease', 'Role', 'RoleBinding', 'Secret', 'Service', 'ServiceAccount', 'StatefulSet', 'Subscription',
  'Always', 'ClusterIP', 'ExternalName', 'IfNotPresent', 'Never', 'Parallel', 'RollingUpdate', 'RuntimeDefault',
]);

/** Of four letters and more, with a small one among them: neither `TCP` nor `Mi`. */
function capitalisedWords(source: string): readonly string[] {
  return [...source.matchAll(/'([A-Z](?=[A-Za-z]*[a-z])[A-Za-z]{3,})'/g)].map(([, word = '']) => word);
}

const inCode = new Set(sources.flatMap((file) => capitalisedWords(readFileSync(root + file, 'utf8'))));
const page = readFileSync(`${root}docs/TROUBLESHOOTING.md`, 'utf8');
const onPage = [...page.matchAll(/^\| `([A-Z][A-Za-z]+)` \|/gm)].map(([, word = '']) => word);

it('every reason and every condition of the code is on the page', () => {
  expect([...inCode].filter((word) => !onPage.includes(word) && !otherWords.has(word))).toEqual([]);
});

it('the page has no reason and no condition that the code has not, and none twice', () => {
  expect(onPage.filter((word) => !inCode.has(word))).toEqual([]);
  expect(onPage.filter((word, index) => onPage.indexOf(word) !== index)).toEqual([]);
});

it('the words that are no reasons are still in the code', () => {
  expect([...otherWords].filter((word) => !inCode.has(word))).toEqual([]);
});

it('the metrics that it sends people to are there', () => {
  const metrics = readFileSync(`${root}docs/METRICS.md`, 'utf8');
  const named = [...page.matchAll(/knative_kafka_\w+/g)].map(([name]) => name);
  expect(named.length).toBeGreaterThan(0);
  expect(named.filter((name) => !metrics.includes(`| \`${name}\` |`))).toEqual([]);
});
