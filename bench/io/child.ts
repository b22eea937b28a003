/**
 * How the processes of a bench talk to it: options as JSON in the first argument, lines with a word and JSON back.
 */

/** The options this process was started with; whoever started it is ours, so the shape is taken on trust. */
export function childOptions(): unknown {
  return JSON.parse(process.argv[2] ?? '{}');
}

/** @param word what the line is: `ready`, `result` */
export function tell(word: string, value: unknown): void {
  process.stdout.write(`${word} ${JSON.stringify(value)}\n`);
}

/** What `tell` prints. */
export function toldPattern(word: string): RegExp {
  return new RegExp(`^${word} (.*)\\n`, 'm');
}

/** Ends this process when the work failed, with what went wrong on stderr, which errors of the bench show. */
export function exitOnError(work: Promise<void>): void {
  work.then(
    () => process.stdout.write('', () => process.exit(0)), // a long result is not yet with its reader
    (error: unknown) => {
      process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
      process.exit(1);
    },
  );
}
