/** `npm run e2e`: the images and the chart on a Kubernetes that runs pods. `npm run e2e -- --help` lists the options. */
import { existsSync, mkdtempSync, readdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  checkJava,
  controlGroupName,
  createControlGroup,
  createImageBuilder,
  enterCommand,
  ensureKafkaJars,
  ensureKnativeConformance,
  ensureKnativeEventing,
  ensureKubernetes,
  ensureNodeImages,
  lastLines,
  lineSplitter,
  missingNodePackages,
  nodeNetwork,
  removeControlGroups,
  removeDataAtExit,
  runCommand,
  runCommandLine,
  spawnIsolated,
  tryIsolation,
  type ImageBuilder,
  type Terminal,
} from '@knative-kafka/local-cluster';
import { buildServiceImages, chooseBase, root, usualBase } from '../images/service-images.ts';
import type { ClusterFacts } from './cluster-facts.ts';
import type { Plan } from './inside.ts';
import { readTotals, runTests } from './run-tests.ts';

const usage = `npm run e2e -- [options] [name ...]

Builds the images, brings up a Kubernetes node on this machine (Linux, root) with Kafka beside it, installs the chart and
uses it as a cluster's owner would. Nothing of it is reachable from outside, and all of it is gone at the end.
A name is that of a test file, or a part of it: install, reply, faults. All of them unless told.

  --base IMAGE           what the images are built on, or "local": see npm run images -- --help
  --no-install           does not install missing Debian packages, but says how to
  --short                channel-delivery and one rolling update, with fewer events
  --if-possible          says in one line why this machine can run no pods, where it cannot, and counts that as no failure
  --keep                 leaves the cluster running after the tests, until Ctrl-C
  --use-current-cluster  a cluster of yours instead: the current context of KUBECONFIG. It must not have any CRD of
                         messaging.knative.dev or sources.knative.dev. The tests install and remove the chart there
    --registry HOST        where its nodes pull HOST/knative-kafka/...: npm run images -- --registry HOST pushes them
    --kafka HOST:PORT      of a Kafka that its pods reach
  --help
`;

/** Of `--short`, where no other is named. */
const shortTests = ['channel-delivery', 'rolling-update'];

interface Options {
  readonly tests: readonly string[];
  readonly isShort: boolean;
  readonly isOptional: boolean;
  readonly base: string | undefined;
  readonly mayInstall: boolean;
  readonly isKept: boolean;
  readonly current: { readonly registry: string; readonly kafka: string } | undefined;
}

process.exitCode = await runCommandLine({ usage, readOptions, run, showsTotalTime: true });

function readOptions(args: readonly string[]): Options | string | undefined {
  const string = { type: 'string' } as const;
  const boolean = { type: 'boolean' } as const;
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { base: string, short: boolean, 'if-possible': boolean, 'no-install': boolean, keep: boolean, 'use-current-cluster': boolean, registry: string, kafka: string, help: boolean },
  });
  if (values.help === true) return undefined;
  const { registry = '', kafka } = values;
  const isCurrent = values['use-current-cluster'] === true;
  if (isCurrent && kafka === undefined) return '--use-current-cluster needs --kafka HOST:PORT, where its pods find a Kafka';
  if (!isCurrent && (registry !== '' || kafka !== undefined)) return '--registry and --kafka are for --use-current-cluster';
  if (isCurrent && values.keep === true) return '--keep is for a cluster that is made here';
  return {
    tests: positionals.length === 0 && values.short === true ? shortTests : positionals,
    isShort: values.short === true,
    isOptional: values['if-possible'] === true,
    base: values.base,
    mayInstall: values['no-install'] !== true,
    isKept: values.keep === true,
    current: isCurrent ? { registry, kafka: kafka ?? '' } : undefined,
  };
}

async function run(options: Options, terminal: Terminal): Promise<number> {
  const failures = join(root, 'e2e', 'reports', `failures-${new Date().toISOString().replaceAll(/[:.]/g, '-')}`);
  if (options.isOptional) {
    const reason = await whyNoPods(options, terminal);
    if (reason !== undefined) {
      terminal.print(`No pods on this machine, so their tests are left out: ${reason}`);
      return 0;
    }
  }
  let code: number;
  try {
    code = await (options.current === undefined ? runOnNode(options, failures, terminal) : runOnCurrent(options.current, options, failures, terminal));
  } catch (error) {
    terminal.print(terminal.red((error as Error).message));
    return 1;
  }
  const { passed, failed } = readTotals();
  if (existsSync(failures)) terminal.print(`What the cluster held when something failed: ${failures} (${readdirSync(failures).join(', ')})`);
  terminal.print(`\n${passed} passed, ${failed} failed`);
  return code === 0 && failed === 0 ? 0 : 1;
}

/** @returns what is missing or not allowed; undefined where a node can run */
async function whyNoPods({ mayInstall }: Options, terminal: Terminal): Promise<string | undefined> {
  const controlGroup = controlGroupName(process.pid);
  try {
    await installPackages(mayInstall, terminal);
    await createControlGroup(controlGroup);
    await tryIsolation();
    return undefined;
  } catch (error) {
    return (error as Error).message.replaceAll(/\s+/g, ' ');
  } finally {
    await removeControlGroups(controlGroup).catch(() => undefined); // it may be what is not allowed
  }
}

async function runOnNode(options: Options, failures: string, terminal: Terminal): Promise<number> {
  const onProgress = (text: string): void => terminal.step(text);
  await installPackages(options.mayInstall, terminal);
  const java = await checkJava();
  if (!java.ok) throw new Error(java.reason);
  await ensureKafkaJars({ onProgress });
  const programs = await ensureKubernetes({ onProgress });
  await ensureKnativeEventing(onProgress);

  const dataDir = mkdtempSync(join(tmpdir(), 'knative-kafka-e2e-'));
  const removeData = removeDataAtExit(dataDir, [dataDir]);
  const controlGroup = controlGroupName(process.pid);
  await removeControlGroups();
  await createControlGroup(controlGroup);
  try {
    const plan = join(dataDir, 'plan.json');
    const images = await prepareImages(options, dataDir, onProgress);
    await writeFile(plan, JSON.stringify({ dataDir, controlGroup, ...images, failures, tests: options.tests, isShort: options.isShort, isKept: options.isKept } satisfies Plan));
    onProgress('starting the cluster');
    return await runInside(plan, programs, options.isKept, terminal);
  } finally {
    await removeControlGroups(controlGroup);
    await removeData();
  }
}

/** Runs inside.ts in a tree of its own, and shows what it prints. @returns the exit code */
async function runInside(plan: string, programs: string, isKept: boolean, terminal: Terminal): Promise<number> {
  const tree = spawnIsolated(process.execPath, [join(import.meta.dirname, 'inside.ts'), plan], { nameServer: nodeNetwork.dnsAddress, output: 'pipe' });
  if (isKept) terminal.print(terminal.dim(`to look inside: ${enterCommand(tree.pid).join(' ')} env PATH=${programs}:$PATH bash`));
  const startedAt = performance.now();
  const show = lineSplitter((line) => terminal.print(`${terminal.dim(`[${((performance.now() - startedAt) / 1000).toFixed(0).padStart(3)} s]`)} ${line}`));
  for (const stream of [tree.child.stdout, tree.child.stderr]) {
    stream?.setEncoding('utf8');
    stream?.on('data', (chunk: string) => show.push(chunk));
  }
  const { code } = await tree.exited;
  show.end();
  return code ?? 1;
}

/** @returns archives, the image in which tests run programs of their own, and the folder of Knative's where they are to run */
async function prepareImages({ base, tests }: Options, folder: string, onProgress: (text: string) => void): Promise<Pick<Plan, 'images' | 'nodeImage' | 'conformance'>> {
  let builder: ImageBuilder | undefined;
  try {
    builder = await createImageBuilder();
    const images = await ensureNodeImages({ builder, onProgress });
    const nodeImage = await chooseBase(builder, base, onProgress);
    const built = await buildServiceImages({ builder, base: nodeImage, services: ['controller', 'channel-receiver', 'dispatcher'], onProgress });
    for (const name of [nodeImage, ...built.map((image) => image.name)]) {
      const archive = join(folder, `${name.replaceAll(/[^\w.-]+/g, '-')}.tar`);
      onProgress(`writing ${name}`);
      await builder.save(name, archive);
      images.push(archive);
    }
    if (!isWanted('conformance', tests)) return { images, nodeImage, conformance: '' };
    const conformance = await ensureKnativeConformance({ builder, onProgress });
    return { images: [...images, ...conformance.archives], nodeImage, conformance: conformance.folder };
  } finally {
    await builder?.close();
  }
}

/** Whether that file is among those which the names select. */
function isWanted(file: string, names: readonly string[]): boolean {
  return names.length === 0 || names.some((name) => `node/${file}.node.test.ts`.includes(name));
}

/** @throws Error with the command to type, where nothing may be installed */
async function installPackages(mayInstall: boolean, terminal: Terminal): Promise<void> {
  const needsBuildah = (await runCommand('docker', ['info']).catch(() => undefined))?.code !== 0;
  const missing = missingNodePackages(needsBuildah ? ['buildah', 'debootstrap'] : ['debootstrap']);
  if (missing.length === 0) return;
  const command = ['apt-get', 'install', '--yes', '--no-install-recommends', ...missing];
  if (!mayInstall || !existsSync('/usr/bin/apt-get')) throw new Error(`a node needs what is missing here; on Debian and Ubuntu:\n\n  ${command.join(' ')}\n`);
  terminal.print(`A node needs what is missing here, so: ${command.join(' ')}`);
  terminal.step('installing');
  const [program = '', ...args] = command;
  const apt = (words: readonly string[]) => runCommand(program, words, { env: { DEBIAN_FRONTEND: 'noninteractive' } });
  let result = await apt(args);
  if (result.code !== 0) {
    await apt(['update']);
    result = await apt(args);
  }
  if (result.code !== 0) throw new Error(`${command.join(' ')} failed:\n${lastLines(result.stderr, 5)}`);
}

async function runOnCurrent({ registry, kafka }: NonNullable<Options['current']>, { base, tests, isShort }: Options, failures: string, terminal: Terminal): Promise<number> {
  const programs = await ensureKubernetes({ onProgress: (text) => terminal.step(text) });
  await ensureKnativeEventing((text) => terminal.step(text));
  const folder = mkdtempSync(join(tmpdir(), 'knative-kafka-e2e-'));
  const removeData = removeDataAtExit(folder, [folder]);
  try {
    const kubectl = join(programs, 'kubectl');
    const kubeconfig = join(folder, 'kubeconfig');
    const config = await runCommand(kubectl, ['config', 'view', '--raw', '--minify', '--flatten']);
    if (config.code !== 0) throw new Error(`there is no current cluster: ${lastLines(config.stderr, 2)}`);
    await writeFile(kubeconfig, config.stdout, { mode: 0o600 });
    const crds = await runCommand(kubectl, ['get', 'crds', '--output', 'name'], { env: { KUBECONFIG: kubeconfig } });
    if (crds.code !== 0) throw new Error(`the current cluster does not answer: ${lastLines(crds.stderr, 2)}`);
    if (/\.(messaging|sources)\.knative\.dev$/m.test(crds.stdout)) throw new Error('the current cluster has CRDs of messaging.knative.dev or sources.knative.dev, which these tests would remove: take another one');
    const facts: ClusterFacts = { kubeconfig, kubectl, helm: join(programs, 'helm'), kafka, registry, nodeImage: base ?? usualBase, conformance: '', control: '', failures, logs: [], isShort };
    return await runTests(facts, tests, (line) => terminal.print(line));
  } finally {
    await removeData();
  }
}
