import { must } from '../../assert.ts';
import { GatelogError } from '../../errors.ts';
import type { StreamId } from '../../record.ts';
import { CODE } from './codes.ts';
import type { DeliveryParts } from './delivery-parts.ts';
import type { KnownCluster } from './known-cluster.ts';
import { Lane } from './lane.ts';
import type { Versions } from './links.ts';
import type { PositionsAnswer } from './offset-fetch.ts';
import { refusal } from './refusal.ts';
import { laneNumbers, type TakenLanes } from './ring.ts';
import type { TransactionClient } from './transaction.ts';

const DESCRIBE_TRANSACTIONS = 65;

/** DescribeTransactions, version 0 (KIP-664; Kafka 3.0 and later). */
export function canDescribe(versions: Versions): boolean {
  return versions.get(DESCRIBE_TRANSACTIONS)?.min === 0;
}

export interface TakenOver {
  readonly lanes: TakenLanes;
  /** Read after everything was taken over. */
  readonly answer: PositionsAnswer;
}

/**
 * Takes over every transactional id that the gateway has (ring.ts says why), and then reads the
 * positions. Ids known from before are taken together with the first; which there are is asked only
 * after that, while the positions are read, and if one was missed they are read again. `alsoOf`: streams
 * whose positions are read besides those of the session.
 */
export async function takeOver(
  parts: DeliveryParts,
  clientOf: (index: number) => TransactionClient,
  most: number,
  known: KnownCluster,
  alsoOf: readonly StreamId[],
): Promise<TakenOver> {
  const clients = new Map(laneNumbers(most).map((index) => [index, clientOf(index)]));
  const lanes = new Map<number, Lane>();
  const take = async (index: number): Promise<void> => {
    const client = must(clients.get(index), 'lanes are asked about up to the same number');
    const lane = new Lane(parts, client, index);
    try {
      await lane.initialise();
      lanes.set(index, lane);
    } catch (error) {
      // The right to it was taken back: nobody of that name uses it any more.
      const isRefused = error instanceof GatelogError && error.code === 'UPSTREAM_UNAUTHORIZED';
      if (index === 1 || !isRefused) throw error;
      clients.delete(index);
    }
  };
  // It may have expired meanwhile, and be made anew by this.
  const guessed = known.lanes.filter((index) => index <= most);
  await Promise.all([1, ...guessed].map(take));
  const first = must(clients.get(1), 'there is a lane 1');
  const streams: readonly StreamId[] = [...parts.streams.keys(), ...alsoOf];
  for (;;) {
    const [answer, missed] = await Promise.all([
      first.positions(streams),
      missedBy(parts, lanes, clients),
    ]);
    if (missed.length === 0) {
      known.lanes = [...lanes.keys()].filter((index) => index > 1);
      const laneOf = (index: number): Lane => must(lanes.get(index), 'it was taken');
      const [unproven, existing] = [true, false].map((isGuess) =>
        known.lanes.filter((index) => guessed.includes(index) === isGuess).map(laneOf),
      );
      return {
        lanes: { first: laneOf(1), existing: existing ?? [], unproven: unproven ?? [] },
        answer,
      };
    }
    await Promise.all(missed.map(take));
  }
}

/** Those that exist and are not taken. */
async function missedBy(
  { refusals }: DeliveryParts,
  lanes: ReadonlyMap<number, Lane>,
  clients: ReadonlyMap<number, TransactionClient>,
): Promise<number[]> {
  const unknown = [...clients].filter(([index]) => !lanes.has(index));
  const answers = await Promise.all(
    unknown.map(async ([index, client]) => ({ index, ...(await client.isKnown()) })),
  );
  const refused = answers.find(({ code }) => code !== CODE.none);
  if (refused !== undefined) throw refusal(refusals, 'DescribeTransactions', refused.code);
  return answers.filter(({ known }) => known).map(({ index }) => index);
}
