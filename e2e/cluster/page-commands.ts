/**
 * The commands that pages of docs/ tell people to type, run as they stand there: a block of commands has a name in a
 * comment above it, `<!-- run: install -->`.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import type { KubernetesCluster } from '@knative-kafka/local-cluster';
import { root } from './install.ts';

export interface PageCommandsOptions {
  /** Where they run. */
  readonly folder: string;
  /** Texts of the page and what stands for them here. */
  readonly replaced?: Readonly<Record<string, string>>;
  /** Folders of further programs. */
  readonly programs?: readonly string[];
}

/** @param page such as `docs/INSTALL.md` @throws Error when there are none of this name */
export function commandsOf(page: string, name: string, replaced: Readonly<Record<string, string>> = {}): string {
  const block = new RegExp(`<!-- run: ${name} -->\\n *\`\`\`sh\\n([\\s\\S]*?)\`\`\``).exec(readFileSync(join(root, page), 'utf8'))?.[1];
  if (block === undefined) throw new Error(`${page} has no commands "${name}"`);
  return Object.entries(replaced).reduce((text, [from, to]) => text.replaceAll(from, to), block);
}

export class PageCommands {
  readonly #page: string;
  readonly #cluster: KubernetesCluster;
  readonly #options: PageCommandsOptions;

  /** @param page such as `docs/INSTALL.md` */
  constructor(page: string, cluster: KubernetesCluster, options: PageCommandsOptions) {
    this.#page = page;
    this.#cluster = cluster;
    this.#options = options;
  }

  /**
   * In a shell, as somebody would who reads the page.
   *
   * @returns what they printed @throws Error with what they printed when one of them failed
   */
  async run(name: string, variables: Readonly<Record<string, string>> = {}): Promise<string> {
    const { folder, programs = [], replaced } = this.#options;
    const commands = commandsOf(this.#page, name, replaced);
    const path = [this.#cluster.programs, ...programs, process.env['PATH']].join(delimiter);
    const { stdout } = await promisify(execFile)('sh', ['-euc', commands], { cwd: folder, env: { ...process.env, ...variables, KUBECONFIG: this.#cluster.kubeconfig, PATH: path } });
    return stdout;
  }
}
