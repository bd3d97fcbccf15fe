import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';

/**
 * A name server in a process of its own: answers every question for an address with the one that
 * stands in a file, and asks for anything else with nothing. An empty file: it does not answer.
 * Called with the address to listen on and the file.
 */
const [address = '', file = ''] = process.argv.slice(2);
const TYPE_A = 1;

const socket = createSocket('udp4');
socket.on('message', (question, { address: asker, port }) => {
  const found = readFileSync(file, 'utf8').trim();
  if (found === '') return;
  let end = 12;
  while ((question[end] ?? 0) !== 0) end += (question[end] ?? 0) + 1;
  const type = question.readUInt16BE(end + 1);
  const asked = question.subarray(12, end + 5);
  const isAnswered = type === TYPE_A;
  const head = Buffer.alloc(12);
  question.copy(head, 0, 0, 2);
  head.writeUInt16BE(0x8180, 2); // an answer, without an error
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(isAnswered ? 1 : 0, 6);
  // The name as asked, type A, class IN, for no time at all, four bytes.
  const answer = Buffer.from([
    0xc0,
    12,
    0,
    1,
    0,
    1,
    0,
    0,
    0,
    0,
    0,
    4,
    ...found.split('.').map(Number),
  ]);
  socket.send(Buffer.concat([head, asked, ...(isAnswered ? [answer] : [])]), port, asker);
});
socket.bind(53, address, () => process.stdout.write('answers\n'));
