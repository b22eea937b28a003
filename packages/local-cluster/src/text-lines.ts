/**
 * Output of other programs, cut to what a person wants to read.
 */

// Colours and cursor moves: ESC [ parameters letter.
const terminalCodes = /\u001b\[[0-9;]*[A-Za-z]/g;

/** The same text without terminal colours. */
export function plainText(text: string): string {
  return text.replace(terminalCodes, '');
}

/**
 * The end of a text as whole lines, without empty lines and without the "at ..." frames of Java stack traces, which
 * would push the lines that say what went wrong out of sight.
 */
export function lastLines(text: string, limit: number): string {
  return plainText(text)
    .split(/\r?\n/)
    .filter((line) => line.trim() !== '' && !/^\s+(at |\.\.\. \d+ more)/.test(line))
    .slice(-limit)
    .join('\n');
}

/**
 * Turns chunks of text into calls with whole lines.
 *
 * @returns `push` for each chunk, and `end` for a last line without a line break
 */
export function lineSplitter(onLine: (line: string) => void): { push(chunk: string): void; end(): void } {
  let rest = '';
  return {
    push(chunk) {
      const lines = (rest + chunk).split(/\r?\n/);
      rest = lines.pop() ?? '';
      for (const line of lines) onLine(line);
    },
    end() {
      if (rest !== '') onLine(rest);
      rest = '';
    },
  };
}
