import { Mirror } from '../../../src/mirror/mirror.ts';
import type { Upstream } from '../../../src/mirror/upstream.ts';
import { seededRandom } from '../../../src/random.ts';
import type { Store } from '../../../src/store/log.ts';
import { silentLogger } from '../../../src/telemetry.ts';
import { systemClock } from '../../../src/time.ts';

/** A mirror of every topic of the store that goes on at the positions of the reader `name`. */
export async function startMirror(store: Store, upstream: Upstream, name: string): Promise<Mirror> {
  const topic = store.reader.topic('_quarantine');
  if (topic === undefined) throw new Error('the topic _quarantine is gone');
  const mirror = new Mirror({
    name: 'central',
    gateway: 'gw',
    incarnation: store.identity.incarnation,
    reader: store.reader,
    positions: await store.positions(name, { pins: true }),
    ledger: store.ledger,
    quarantine: { writer: store.writer, topic },
    decisions: store.keyValue('central'),
    sampled: store.keyValue('sampled'),
    upstream,
    topics: ['telemetry', 'events'],
    clock: systemClock,
    random: seededRandom(3),
    logger: silentLogger,
  });
  await mirror.start();
  return mirror;
}
