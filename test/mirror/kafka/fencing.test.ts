import { expect, test } from 'vitest';
import { CODE } from '../../../src/mirror/kafka/codes.ts';
import { FenceJudge } from '../../../src/mirror/kafka/fencing.ts';
import { type Initialised, Initialiser } from '../../../src/mirror/kafka/initialise.ts';
import { Journal } from '../../../src/mirror/kafka/journal.ts';
import { MIRROR_LIMITS } from '../../../src/mirror-limits.ts';
import { SimClock } from '../../support/sim-clock.ts';
import { memorySpace } from '../policy/memory-space.ts';

/** A gateway takes over several transactional ids at once; what of it is carried out late is no clone's. */
const IDS = Array.from({ length: MIRROR_LIMITS.kafkaLanes }, (_, index) => `gw#${index + 1}`);
const untold = () => Promise.resolve('unknown' as const);

interface Client extends Initialised {
  readonly initialising: () => boolean;
  readonly answer: () => void;
  readonly breakOff: () => void;
}

function clientOf(transactionalId: string): Client {
  const answered = Promise.withResolvers<number>();
  let state: 'idle' | 'asked' | 'answered' = 'idle';
  return {
    transactionalId,
    get unanswered() {
      return state === 'asked';
    },
    initialise: () => {
      state = 'asked';
      return answered.promise;
    },
    initialising: () => state === 'asked',
    answer: () => {
      state = 'answered';
      answered.resolve(CODE.none);
    },
    breakOff: () => answered.reject(new Error('the link died')),
  };
}

function rig() {
  const space = memorySpace();
  const journal = new Journal(space);
  const clock = new SimClock();
  const judge = new FenceJudge(clock, () => Promise.resolve(0));
  return { space, journal, clock, judge, initialiser: new Initialiser(journal, judge) };
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
}

/** All at once, as a take-over does it. */
async function takeOver(initialiser: Initialiser) {
  const clients = IDS.map(clientOf);
  const taken = Promise.allSettled(clients.map((client) => initialiser.initialise(client)));
  await until(() => clients.every(({ initialising }) => initialising()));
  return { clients, taken };
}

test('a take-over of several ids that is carried out late is our own past for each of them', async () => {
  const { judge, initialiser } = rig();
  const { clients, taken } = await takeOver(initialiser);
  for (const { breakOff } of clients) breakOff();
  await taken;
  // Each on a broker of its own, which wakes when it likes.
  for (const id of IDS) expect(await judge.judge(id, 100, 5000, untold)).toBe('own-past');
  for (const id of IDS) expect(await judge.judge(id, 100, 5000, untold)).toBe('clone');
});

test('one that was answered excuses nothing, whatever became of the others', async () => {
  const { judge, initialiser } = rig();
  const { clients, taken } = await takeOver(initialiser);
  const [answered, ...rest] = clients;
  answered?.answer();
  for (const { breakOff } of rest) breakOff();
  await taken;
  expect(await judge.judge('gw#1', 100, 5000, untold)).toBe('clone');
  expect(await judge.judge('gw#2', 100, 5000, untold)).toBe('own-past');
});

test('two clones can not go on for ever over what never was answered', async () => {
  const { judge } = rig();
  for (let attempt = 0; attempt < 10; attempt++) judge.noteUnanswered('gw#1');
  const causes = [1, 2, 3].map(() => judge.judge('gw#1', 100, 5000, untold));
  expect(await Promise.all(causes)).toEqual(['own-past', 'own-past', 'clone']);
});

test('a crash in the middle of a take-over forgets none of the ids', async () => {
  const { space, initialiser } = rig();
  const before = space.writes;
  const { clients, taken } = await takeOver(initialiser);
  expect(space.writes - before).toBe(1);
  const crashed = new Journal(space.copy());
  expect((await crashed.initialising([])).toSorted()).toEqual(IDS);
  for (const { answer } of clients) answer();
  await taken;
  expect(await new Journal(space.copy()).initialising([])).toEqual([]);
});

test('what was not answered stays marked through take-overs that were, until it excused or is stale', async () => {
  const { space, clock, judge, initialiser } = rig();
  const broken = clientOf('gw#2');
  const lost = initialiser.initialise(broken).catch(() => {});
  await until(broken.initialising);
  broken.breakOff();
  await lost;
  const answered = async (): Promise<void> => {
    const { clients, taken } = await takeOver(initialiser);
    for (const { answer } of clients) answer();
    await taken;
  };
  await answered();
  expect(await new Journal(space.copy()).initialising([])).toEqual(['gw#2']);
  expect(await judge.judge('gw#2', 100, 5000, untold)).toBe('own-past');
  await answered();
  expect(await new Journal(space.copy()).initialising([])).toEqual([]);
  judge.noteUnanswered('gw#3');
  const late = clock.sleep(600_001);
  await clock.advance(600_001);
  await late;
  await answered();
  expect(await new Journal(space.copy()).initialising([])).toEqual([]);
});
