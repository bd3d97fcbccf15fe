import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { freePort } from '../../../src/cli/demo/ports.ts';

test('a taken port is passed over, and one that is spoken for', async () => {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  try {
    const next = await freePort(port);
    expect(next).toBeGreaterThan(port);
    expect(await freePort(port, [next])).toBeGreaterThan(next);
  } finally {
    server.close();
  }
});

test('no free port is told with the range that was tried', async () => {
  await expect(freePort(65_535, [65_535])).rejects.toThrow(/no free port .* 65535 to 65535/u);
});
