/**
 * The limit for a receiver in Node: `node:http` that reads each body and answers 202. Plain JavaScript, so that nothing
 * but the server itself is in its start-up time and memory.
 */
import { createServer } from 'node:http';

const { port } = JSON.parse(process.argv[2]);
const head = ['Content-Length', '0'];
const server = createServer((request, response) => {
  request.on('end', () => response.writeHead(202, head).end());
  request.resume();
});
server.keepAliveTimeout = 75_000;
server.listen(port, '127.0.0.1', () => process.stdout.write(`ready ${JSON.stringify({ port })}\n`));
