/** What `helm template` makes of the chart, for tests. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { chart } from './generate-chart-pages.ts';

/** A rendered object; a test says what it expects to find in it. */
export interface RenderedObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export class Chart {
  readonly #helm: string;
  /** @param programs folder with helm */
  constructor(programs: string) {
    this.#helm = join(programs, 'helm');
  }

  /** @param values laid over values.yaml @param args further arguments of helm */
  async template(values: object = {}, ...args: readonly string[]): Promise<Outcome> {
    return this.run(['template', 'knative-kafka', chart, '--namespace', 'knative-eventing', '--values', '-', ...args], JSON.stringify(values));
  }

  /** @throws Error with helm's words */
  async render(values: object = {}, ...args: readonly string[]): Promise<readonly RenderedObject[]> {
    const { code, stdout, stderr } = await this.template(values, ...args);
    if (code !== 0) throw new Error(stderr);
    return parseAllDocuments(stdout).map((document) => document.toJS() as RenderedObject | null).filter((object) => object !== null);
  }

  /** Nothing that is asked of helm here needs a cluster. */
  run(args: readonly string[], input = ''): Promise<Outcome> {
    return new Promise((resolve) => {
      const child = execFile(this.#helm, [...args], { maxBuffer: 32 * 1024 ** 2 }, (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr });
      });
      child.stdin?.end(input);
    });
  }
}

/** `{ a: { b: value } }` of `a.b`. */
export function nested(path: string, value: unknown): object {
  return path.split('.').reduceRight<unknown>((inner, key) => ({ [key]: inner }), value) as object;
}

export function find(objects: readonly RenderedObject[], kind: string, name: string): RenderedObject | undefined {
  return objects.find((object) => object.kind === kind && object.metadata.name === name);
}

/** What is at a path such as `spec.template.spec.containers.0.image`; undefined where there is nothing. */
export function at(value: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((inner, key) => (typeof inner === 'object' && inner !== null ? (inner as Readonly<Record<string, unknown>>)[key] : undefined), value);
}
