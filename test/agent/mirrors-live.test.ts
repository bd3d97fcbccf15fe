import { expect, test } from 'vitest';
import { parseConfig } from '../../src/agent/config.ts';
import type { Config } from '../../src/agent/config-types.ts';
import { KnownMirrors } from '../../src/agent/known-mirrors.ts';
import { LiveMirrors } from '../../src/agent/mirrors-live.ts';
import { GatelogError } from '../../src/errors.ts';
import { seededRandom } from '../../src/random.ts';
import type { KeyValueSpace, Store } from '../../src/store/log.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import { inMemory } from '../support/store-kit.ts';

/** Nobody listens there. */
function configOf(port: number): Config {
  const text = `gateway: g\nmirrors: {central: {mqtt: {url: "mqtt://127.0.0.1:${port}"}}}\n`;
  return parseConfig(text, 'g.yaml', { env: {}, workingFolder: '/gatelog-test' }).config;
}

test('where nothing can be written no mirror is ended, and it changes once something can', async () => {
  const store = await (await inMemory.make()).open();
  let isFull = false;
  const agent = store.keyValue('agent');
  const failing: KeyValueSpace = {
    get: (key) => agent.get(key),
    entries: () => agent.entries(),
    delete: (key) => agent.delete(key),
    deleteAll: (keys) => agent.deleteAll(keys),
    put: async (key, value) => {
      if (isFull) throw new GatelogError('STORE_WRITE_FAILED', 'the disk is full');
      await agent.put(key, value);
    },
  };
  const known = await KnownMirrors.load({ keyValue: () => failing } as unknown as Store, [
    'central',
  ]);
  const live = new LiveMirrors({
    config: configOf(1),
    known,
    store,
    clock: systemClock,
    isClockSound: () => true,
    random: seededRandom(1),
    logger: silentLogger,
  });
  await live.start();
  const before = live.mirrors.get('central');
  isFull = true;
  await expect(live.change(['central'], configOf(2))).rejects.toMatchObject({
    code: 'STORE_WRITE_FAILED',
    message: 'the disk is full',
  });
  expect(live.mirrors.get('central')).toBe(before);
  expect(before?.status().state).not.toBe('stopped');
  isFull = false;
  await live.change(['central'], configOf(2));
  expect(live.mirrors.get('central')).not.toBe(before);
  expect(before?.status().state).toBe('stopped');
  await live.stop();
  await store.close();
});
