import { expect, test } from 'vitest';
import { upTo } from '../../../src/coverage.ts';
import { AnswerPatience } from '../../../src/mirror/kafka/answer-patience.ts';
import { createKafkaUpstream } from '../../../src/mirror/kafka/kafka-upstream.ts';
import { Links } from '../../../src/mirror/kafka/links.ts';
import { type Delivery, KafkaSession } from '../../../src/mirror/kafka/session.ts';
import { streamId } from '../../../src/record.ts';
import { silentLogger } from '../../../src/telemetry.ts';
import { systemClock } from '../../../src/time.ts';
import { memorySpace } from '../policy/memory-space.ts';
import { startFakeBroker } from '../../support/kafka/fake-broker.ts';

type Ending = 'late' | 'delivered' | 'delivered, then late' | 'away';

function waitsOf(endings: readonly Ending[]): number[] {
  const patience = new AnswerPatience(1000);
  return endings.map((ending) => {
    const waitMs = patience.next();
    if (ending.startsWith('delivered')) patience.noteProgress();
    if (ending.endsWith('late')) patience.noteLate();
    return waitMs;
  });
}

test('who is late again and again is waited for longer, up to a bound, and back step by step', () => {
  expect(waitsOf(['late', 'late', 'late', 'late', 'late', 'late'])).toEqual([
    1000, 1000, 2000, 4000, 4000, 4000,
  ]);
  expect(waitsOf(['late', 'late', 'late', 'delivered', 'delivered', 'late'])).toEqual([
    1000, 1000, 2000, 4000, 2000, 1000,
  ]);
});

test('black holes make nothing slower, alone or with deliveries in between', () => {
  expect(waitsOf(['late', 'away', 'away', 'away'])).toEqual([1000, 1000, 1000, 1000]);
  const flapping: Ending = 'delivered, then late';
  expect(waitsOf([flapping, flapping, flapping, flapping])).toEqual([1000, 1000, 1000, 1000]);
});

test('a broker that needs longer than requestTimeout for each answer is not hung up on for ever', async () => {
  const broker = await startFakeBroker([{ key: 0, min: 3, max: 9 }], { answersAfterMs: 600 });
  const patience = new AnswerPatience(250);
  const options = { brokers: [], requestTimeoutMs: 250 };
  const told: string[] = [];
  try {
    for (let session = 0; session < 20; session++) {
      const links = new Links(options, () => {}, undefined, patience);
      const versions = await links
        .versions({ host: '127.0.0.1', port: broker.port })
        .catch((error: unknown) => void told.push(String(error)));
      links.close();
      if (versions !== undefined) break;
    }
    // It is said for how long it was really waited.
    const waits = told.map((text) => /within (\w+)/u.exec(text)?.[1]);
    expect(waits.slice(0, 3)).toEqual(['250ms', '250ms', '500ms']);
    expect(told.length).toBeLessThan(20);
  } finally {
    await broker.close();
  }
});

test('the sessions of one upstream share it', async () => {
  const broker = await startFakeBroker();
  broker.mute();
  const upstream = createKafkaUpstream({
    brokers: [`127.0.0.1:${broker.port}`],
    gateway: 'gw',
    incarnation: '00112233445566aa',
    requestTimeoutMs: 100,
    journal: memorySpace(),
    clock: systemClock,
    logger: silentLogger,
  });
  const at = { stream: streamId(0), topic: 'telemetry', partition: 0, had: upTo(0) };
  const more = { seek: new Map(), quarantine: () => Promise.resolve() };
  const waits: (string | undefined)[] = [];
  for (let session = 0; session < 4; session++) {
    const connected = upstream.connect([at], new AbortController().signal, more);
    const text = await connected.then(() => 'it answers', String);
    waits.push(/within (\w+)/u.exec(text)?.[1]);
  }
  expect(waits).toEqual(['100ms', '100ms', '200ms', '400ms']);
  await broker.close();
});

test('a receipt is progress', async () => {
  const patience = new AnswerPatience(1000);
  const links = new Links({ brokers: [] }, () => {}, undefined, patience);
  for (let session = 0; session < 3; session++) {
    patience.noteLate();
    patience.next();
  }
  const delivery: Delivery = {
    prepare: () => Promise.resolve({ ranges: [], cargo: [] }),
    deliver: () => Promise.resolve({ rejected: [], bytesSent: 0 }),
  };
  const session = new KafkaSession({
    links,
    broken: new Promise<never>(() => {}),
    delivery,
    positions: new Map(),
    clock: systemClock,
    isCostly: () => false,
    end: () => {},
  });
  await session.send([], new Map());
  await session.close();
  expect(patience.next()).toBe(2000);
});
