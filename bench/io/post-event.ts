/**
 * One event over a connection of its own: what a sender meets that knows nothing of the server yet.
 */
import { request } from 'node:http';
import { eventBody, eventHeaders } from '../core/bench-event.ts';

/** @returns the status; 0 where there was no answer */
export function postEvent(port: number, path: string): Promise<number> {
  const flat = eventHeaders(0);
  const headers = Object.fromEntries(Array.from({ length: flat.length / 2 }, (_, index) => [flat[2 * index]!, flat[2 * index + 1]!]));
  return new Promise((resolve) => {
    const sent = request({ host: '127.0.0.1', port, path, method: 'POST', headers, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    sent.on('error', () => resolve(0));
    sent.end(eventBody());
  });
}
