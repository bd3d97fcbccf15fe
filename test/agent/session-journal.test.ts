import { afterEach, expect, test } from 'vitest';
import { SessionJournal } from '../../src/agent/broker-session-journal.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import { MortalSpace } from '../support/mortal-space.ts';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';
import { RawDevice } from '../support/mqtt-raw.ts';

/** Who waits for the disk is told, whatever becomes of what it waits for. */
afterEach(stopTestBrokers);

test('a change that is taken back before it was written keeps nobody waiting', async () => {
  const space = new MortalSpace();
  const journal = new SessionJournal(space, { clock: systemClock, logger: silentLogger });
  journal.put('will/a', Buffer.from('x'), true);
  const done = journal.durable();
  journal.remove('will/a');
  await done;
  expect(space.writes).toBe(0);
  space.hold();
  journal.put('a', Buffer.from('x'), true);
  const first = journal.durable();
  await expect.poll(() => space.writes).toBe(1);
  journal.put('b', Buffer.from('x'), true);
  const second = journal.durable();
  journal.remove('b');
  space.release();
  await Promise.all([first, second]);
  expect([...space.disk.keys()]).toEqual(['a']);
});

test.each(['lost just before', 'still there'])(
  'every CONNECT with a will is answered, the connection before was %s',
  async (before) => {
    const { port } = await startTestBroker({ keep: { space: new MortalSpace() } });
    const will = { topic: 'w', payload: Buffer.from('gone'), qos: 0, retain: false };
    const answers: unknown[] = [];
    for (let times = 0; times < 40; times++) {
      const device = await RawDevice.connect(port, 4, { clientId: 'same', will });
      answers.push(device.last('connack')?.['returnCode']);
      if (before === 'lost just before') device.close();
    }
    expect(answers).toEqual(answers.map(() => 0));
  },
);
