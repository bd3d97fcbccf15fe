import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { expect, test } from 'vitest';
import { sentParts } from '../../src/admin/send-parts.ts';

test('an answer whose reader left before it began ends, and what makes its parts too', async () => {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('it listens');
  const socket = connect(address.port, '127.0.0.1');
  socket.write('GET / HTTP/1.1\r\nhost: localhost\r\n\r\n');
  const [, response] = (await once(server, 'request')) as [unknown, ServerResponse];
  socket.destroy();
  await once(response, 'close');
  const sent = sentParts(response, new AbortController().signal, undefined);
  expect(sent.signal.aborted).toBe(true);
  let made = 0;
  let ended = false;
  async function* parts(): AsyncGenerator<string> {
    try {
      for (;;) {
        made++;
        yield await Promise.resolve('part');
      }
    } finally {
      ended = true;
    }
  }
  await sent.send(parts());
  expect([made, ended]).toEqual([1, true]);
  server.close();
});
