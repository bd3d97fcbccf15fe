import { expect, test } from 'vitest';
import type { TopicInfo } from '../../src/store/log.ts';
import { DAY, HOUR, IN_1970, MachineRig, MAY, streamOf, YEAR } from '../support/machine-rig.ts';

/** Nobody can be asked: a clock that was suspect and came back to where it was had been right. */
const rig = MachineRig.forEachTest();
const BOOT = 'the boot';

const times = async (topic: TopicInfo): Promise<unknown[]> =>
  (await rig.read(topic)).map(({ timestampMs, time }) =>
    time === undefined ? timestampMs : [timestampMs, time.trust],
  );

/** An hour later, with the clock off by so much. */
async function publishAt(topic: TopicInfo, hour: number, aheadMs: number): Promise<void> {
  rig.machine.clock.set(MAY + hour * HOUR - HOUR + aheadMs);
  rig.machine.trust.read();
  await rig.machine.clock.advance(HOUR);
  await rig.publish(topic);
}
const estimated = (hour: number, aheadMs = 0): unknown => [
  MAY + hour * HOUR + aheadMs,
  'estimated',
];

test('ten years ahead or an hour back, then back where it was: the time between is told by that', async () => {
  await rig.bootIdle({ wallMs: MAY });
  const topic = rig.define();
  await rig.publish(topic);
  await publishAt(topic, 1, 10 * YEAR);
  await publishAt(topic, 2, -HOUR);
  const suspect = [MAY, estimated(1, 10 * YEAR), estimated(2, -HOUR)];
  expect(await times(topic)).toEqual(suspect);
  await publishAt(topic, 3, 0);
  const right = [MAY, estimated(1), estimated(2), MAY + 3 * HOUR];
  expect(await times(topic)).toEqual(right);
  expect(rig.machine.trust.status().state).toBe('unconfirmed');
  for (const [hour, offset] of [
    [1, 1],
    [1.5, 2],
    [3, 3],
  ] as const) {
    const found = await rig.store.reader.offsetAtTime(streamOf(topic), MAY + hour * HOUR);
    expect(found).toBe(offset);
  }
  // What it does later says nothing of then, and later boots know.
  await publishAt(topic, 4, 10 * YEAR);
  expect(await times(topic)).toEqual([...right, estimated(4, 10 * YEAR)]);
  await rig.shutDown();
  await rig.bootIdle({ wallMs: IN_1970 });
  expect(await times(topic)).toEqual([...right, estimated(4, 10 * YEAR)]);
});

test('killed meanwhile, and right at the next start in the same boot', async () => {
  await rig.bootIdle({ id: BOOT, upMs: DAY, wallMs: MAY });
  const topic = rig.define();
  await rig.publish(topic);
  await publishAt(topic, 1, 10 * YEAR);
  await rig.shutDown();
  await rig.bootIdle({ id: BOOT, upMs: DAY + 2 * HOUR, wallMs: MAY + 2 * HOUR });
  await rig.publish(topic);
  expect(await times(topic)).toEqual([MAY, estimated(1), MAY + 2 * HOUR]);
});

test('back somewhere else, before or after: it is not known which of them was right', async () => {
  await rig.bootIdle({ id: BOOT, upMs: DAY, wallMs: MAY });
  const topic = rig.define();
  await rig.publish(topic);
  await publishAt(topic, 1, 10 * YEAR);
  await rig.shutDown();
  await rig.bootIdle({ id: BOOT, upMs: DAY + 2 * HOUR, wallMs: MAY + DAY });
  await rig.publish(topic);
  expect(rig.machine.trust.status().state).toBe('unconfirmed');
  expect(await times(topic)).toEqual([MAY, estimated(1, 10 * YEAR), MAY + DAY]);
});

test('1970, then the time: while it is ahead, too, records of 1970 are told by what was taken for right', async () => {
  await rig.bootIdle({ wallMs: IN_1970 });
  const topic = rig.define();
  await rig.publish(topic);
  await publishAt(topic, 1, 0);
  const right = [estimated(0), MAY + HOUR];
  expect(await times(topic)).toEqual(right);
  await publishAt(topic, 2, 10 * YEAR);
  expect(await times(topic)).toEqual([...right, estimated(2, 10 * YEAR)]);
});
