/**
 * The header lines of a delivery's request, for whichever client sends them: as texts for undici, as bytes for a socket.
 *
 * Always true: bytes are written only where they are a request of HTTP whose framing is the client's own. What a client
 * library would refuse or read as its own business (a line end in a value, `content-length`, `connection`) is not written
 * at all: then the library gets the texts and says what it thinks of them.
 */

/** The header lines of a request, but for host and content-length. */
export interface RequestHeaders {
  /** Flat: name, value, name, value …, as undici takes them. */
  flat(): readonly string[];
  /**
   * Writes `name: value\r\n` lines at `at`.
   * @returns where they end; −1 when they do not fit into `out`, or when one of them is not for this way: whatever has
   *          been written from `at` on then means nothing
   */
  write(out: Buffer, at: number): number;
}

/** Flat texts: name, value, name, value … */
export class TextHeaders implements RequestHeaders {
  readonly #flat: readonly string[];

  constructor(flat: readonly string[]) {
    this.#flat = flat;
  }

  flat(): readonly string[] {
    return this.#flat;
  }

  write(out: Buffer, at: number): number {
    const flat = this.#flat;
    let lines = '';
    for (let i = 0; i < flat.length; i += 2) {
      const name = flat[i]!;
      const value = flat[i + 1]!;
      if (!isPlainName(name) || !legalValue.test(value)) return -1;
      lines += `${name}: ${value}\r\n`;
    }
    return at + lines.length > out.length ? -1 : at + out.write(lines, at, 'latin1');
  }
}

/** Tabs, visible ASCII and Latin-1, which is what one byte per character can say. */
const legalValue = /^[\t\x20-\x7e\x80-\xff]*$/;
const token = /^[\w!#$%&'*+\-.^`|~]+$/;
/** What frames a message or is about its connection: the client's business, and none of an event's. */
const clientNames: ReadonlySet<string> = new Set(['host', 'content-length', 'transfer-encoding', 'connection', 'keep-alive', 'upgrade', 'expect', 'te', 'trailer', 'proxy-connection']);

/** Whether a client may write this header as it is: a token of HTTP that says nothing about message or connection. */
export function isPlainName(name: string): boolean {
  return token.test(name) && !clientNames.has(name.toLowerCase());
}
