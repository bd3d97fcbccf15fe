import { expect, test } from 'vitest';
import { type Coverage, type Coverages, upTo } from '../../../src/coverage.ts';
import { Journal, type JournalEntry } from '../../../src/mirror/kafka/journal.ts';
import { inDoubtElsewhere, setAsideLeftOut } from '../../../src/mirror/kafka/left-out.ts';
import type { MirrorStream } from '../../../src/mirror/upstream.ts';
import { type StreamId, streamId } from '../../../src/record.ts';
import { memorySpace } from '../policy/memory-space.ts';

/** Stream 0 is in the session, stream 1 is left out; the journal's transaction moves both. */
const [HERE, ELSEWHERE] = [streamId(0), streamId(1)];

const entry: JournalEntry = {
  clusterId: 'c',
  confirmed: new Map([[ELSEWHERE, upTo(340)]]),
  ranges: [],
  after: new Map([
    [HERE, upTo(20)],
    [ELSEWHERE, upTo(349)],
  ]),
  witnesses: [],
};

function sessionOf(streams: readonly (readonly [StreamId, number])[]) {
  return new Map(
    streams.map(([stream, next]): [StreamId, MirrorStream] => [
      stream,
      { stream, topic: 'alarms', partition: stream, had: upTo(next) },
    ]),
  );
}

interface Given {
  readonly entry?: JournalEntry | undefined;
  readonly streams?: ReadonlyMap<StreamId, MirrorStream>;
  readonly far?: number | undefined;
  readonly seek?: ReadonlyMap<StreamId, number>;
  readonly settled?: number;
}

async function setAside(journal: Journal, given: Given): Promise<[StreamId, number][]> {
  const { streams = sessionOf([[HERE, 20]]), far, seek = new Map(), settled } = given;
  const positions = new Map(
    far === undefined ? [] : [[Number(ELSEWHERE), { offset: far, metadata: 'gw/i/alarms/1/x' }]],
  );
  const settle = (forgotten: Coverages): Promise<Coverages> =>
    Promise.resolve(
      new Map(
        [...forgotten].map(([stream, had]): [StreamId, Coverage] => [
          stream,
          settled === undefined ? had : upTo(settled),
        ]),
      ),
    );
  const answer = { code: 0, positions };
  await setAsideLeftOut({ journal, entry: given.entry, streams, seek, answer, settle });
  return [...(await journal.aside())].map(([stream, { next }]) => [stream, next]);
}

test('whose position is to be read: what the transaction moved, and the session leaves out', () => {
  expect(inDoubtElsewhere(entry, sessionOf([[HERE, 0]]))).toEqual([ELSEWHERE]);
  expect(inDoubtElsewhere(undefined, sessionOf([[HERE, 0]]))).toEqual([]);
});

test.each([
  ['committed', { far: 349 }, 349],
  ['aborted', { far: 347 }, 347],
  ['forgotten by the far side, and found', { settled: 349 }, 349],
  ['forgotten by the far side, and not there', {}, 340],
  // Somebody else's: what is ours stays what it was, and the session that has the stream halts.
  ['beyond what we sent', { far: 360 }, 340],
] as const)('the outcome is kept for a stream that is left out: %s', async (_what, given, next) => {
  const journal = new Journal(memorySpace());
  expect(await setAside(journal, { ...given, entry })).toEqual([[ELSEWHERE, next]]);
  // Sessions without it come and go.
  const other = { ...entry, confirmed: new Map(), after: new Map([[HERE, upTo(25)]]) };
  expect(await setAside(journal, { entry: other })).toEqual([[ELSEWHERE, next]]);
});

test('it is kept until our own position has it, or a person says otherwise', async () => {
  const space = memorySpace();
  const journal = new Journal(space);
  await setAside(journal, { entry, far: 349 });
  const behind = sessionOf([[ELSEWHERE, 347]]);
  expect(await setAside(journal, { streams: behind })).toEqual([[ELSEWHERE, 349]]);
  const copy = new Journal(space.copy());
  expect(await setAside(copy, { streams: sessionOf([[ELSEWHERE, 349]]) })).toEqual([]);
  expect(await setAside(journal, { streams: behind, seek: new Map([[ELSEWHERE, 5]]) })).toEqual([]);
  // Nothing is written where nothing changes.
  const { writes } = space;
  await setAside(journal, {});
  expect(space.writes).toBe(writes);
});
