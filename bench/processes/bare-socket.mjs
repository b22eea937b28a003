/**
 * The limit for a receiver, whatever it is written in: a plain socket that answers 202 to whatever comes, without
 * looking at it. The load client has one request at a time on each connection and writes it in one piece, which the
 * loopback interface hands on in one piece.
 */
import { createServer } from 'node:net';

const { port } = JSON.parse(process.argv[2]);
const answer = Buffer.from('HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n');
createServer({ noDelay: true }, (socket) => {
  socket.on('error', () => socket.destroy());
  socket.on('data', () => socket.write(answer));
}).listen(port, '127.0.0.1', () => process.stdout.write(`ready ${JSON.stringify({ port })}\n`));
