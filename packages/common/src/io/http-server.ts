/**
 * The HTTP server beside the event path: metrics and probes on a port of their own.
 *
 * Readiness tells whether traffic makes sense here, with the reasons when it does not; liveness only whether the
 * process still answers, because a restart heals a stuck process but not an absent Kafka.
 */
import type { AddressInfo } from 'node:net';
import { createServer, type Server } from 'node:http';
import express, { type Express } from 'express';
import { Fault } from '../core/fault.ts';
import type { Registry } from './metrics.ts';

/** Nothing in `reasons` means ready. */
export type Readiness = () => { readonly reasons: readonly string[] };

export interface RunningServer {
  readonly port: number;
  close(): Promise<void>;
}

/** An Express app with what none of ours wants turned off. */
export function createApp(): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  return app;
}

/** Adds `GET /healthz` and `GET /readyz`. */
export function addProbes(app: Express, readiness: Readiness): void {
  app.get('/healthz', (_request, response) => {
    response.status(200).json({ status: 'ok' });
  });
  app.get('/readyz', (_request, response) => {
    const { reasons } = readiness();
    response.status(reasons.length === 0 ? 200 : 503).json({ status: reasons.length === 0 ? 'ready' : 'not ready', reasons });
  });
}

/** Serves `/metrics`, `/healthz` and `/readyz`. @param port 0 for any free one */
export async function startMetricsServer(options: { readonly port: number; readonly registry: Registry; readonly readiness: Readiness }): Promise<RunningServer> {
  const app = createApp();
  addProbes(app, options.readiness);
  app.get('/metrics', async (_request, response) => {
    response.type(options.registry.contentType).send(await options.registry.metrics());
  });
  const server = createServer((request, response) => void app(request, response));
  const port = await listen(server, options.port, '0.0.0.0');
  return { port, close: () => closeServer(server) };
}

/** @throws Fault SETTINGS_INVALID when the port is taken or may not be used */
export async function listen(server: Server, port: number, host: string): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(new Fault('SETTINGS_INVALID', `port ${port} on ${host}: ${error.code === 'EADDRINUSE' ? 'in use by another process' : error.message}`, { retriable: false, cause: error }));
    });
    server.listen(port, host, 1024, resolve);
  });
  return (server.address() as AddressInfo).port;
}

async function closeServer(server: Server): Promise<void> {
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
