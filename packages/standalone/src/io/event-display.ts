/**
 * The subscriber of the quickstart: prints every event it receives.
 */
import { createServer } from 'node:http';
import { decodeHttpEvent } from '@knative-kafka/common/core';
import { listen, type RunningServer } from '@knative-kafka/common/io';
import type { Terminal } from './terminal.ts';

/** A longer body is shown in part. */
const shownBytes = 2_048;

export async function startEventDisplay(port: number, terminal: Terminal): Promise<RunningServer> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      show(request.rawHeaders, Buffer.concat(chunks), terminal);
      response.writeHead(202).end();
    });
  });
  const boundPort = await listen(server, port, '127.0.0.1');
  return {
    port: boundPort,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function show(rawHeaders: readonly string[], body: Buffer, terminal: Terminal): void {
  const decoded = decodeHttpEvent(rawHeaders, body);
  if ('error' in decoded) {
    terminal.warn(`received something that is not a CloudEvent: ${decoded.error.reason}`);
    return;
  }
  for (const { headers, value } of decoded.events) {
    const lines = headers.map(([name, text]) => `  ${terminal.dim(name.replace(/^ce_/, '').padEnd(16))} ${text}`);
    if (value !== null) lines.push(`  ${terminal.dim('data'.padEnd(16))} ${dataText(value)}`);
    terminal.print(`${terminal.bold(terminal.green('● event'))}\n${lines.join('\n')}`);
  }
}

function dataText(value: Buffer): string {
  const text = value.subarray(0, shownBytes).toString('utf8');
  return value.length > shownBytes ? `${text} … (${value.length} bytes)` : text;
}
