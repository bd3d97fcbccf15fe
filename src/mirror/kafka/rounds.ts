import { must } from '../../assert.ts';
import type { Clock } from '../../time.ts';
import type { LargePatience } from '../large-patience.ts';
import { CODE } from './codes.ts';
import type { Cargo } from './encode.ts';
import type { Address } from './address.ts';
import type { Links, Purpose } from './links.ts';
import { type ProduceAnswer, produceApi, type ProduceTopic } from './produce.ts';
import { type BatchStamp, sealBatch } from './record-batch.ts';
import { isAlone, slowRecord } from './slow-record.ts';

/**
 * Sends batches. A Produce request may hold one batch per partition, so a partition's batches go
 * in rounds: the first of every partition, then the second, ... One request per leader and round.
 */
export interface Delivered {
  readonly cargo: Cargo;
  readonly answer: ProduceAnswer;
}

export interface ProduceContext {
  readonly links: Links;
  /** Of the connections that they go over. */
  readonly purpose: Purpose;
  readonly leaderOf: (topic: string, partition: number) => Address;
  readonly transactionalId: string | null;
  readonly requestTimeoutMs: number;
  /** Called once per batch, in the order in which a partition's batches are sent. */
  readonly stampOf: (cargo: Cargo) => BatchStamp;
  /**
   * Every round at once (sequences keep the order even when one is refused), or each after the
   * answers to the one before, ending with the first refusal.
   */
  readonly pipelined: boolean;
}

/** As `produceAll`; a record alone that is late is waited for longer the next time. */
export async function produceWithPatience(
  context: ProduceContext & { readonly patience: LargePatience; readonly clock: Clock },
  cargo: readonly Cargo[],
): Promise<Delivered[]> {
  const { patience, clock } = context;
  const begunMs = clock.monotonicMs();
  try {
    const delivered = await produceAll(context, cargo);
    patience.carried(isAlone(cargo) ? clock.monotonicMs() - begunMs : 0);
    return delivered;
  } catch (error) {
    throw slowRecord(error, cargo, patience);
  }
}

/** Answers of everything that was sent; rejects when an answer is missing. */
async function produceAll(context: ProduceContext, cargo: readonly Cargo[]): Promise<Delivered[]> {
  const rounds = roundsOf(cargo);
  if (context.pipelined) {
    return (await Promise.all(rounds.map((round) => produceRound(context, round)))).flat();
  }
  const delivered: Delivered[] = [];
  for (const round of rounds) {
    const answers = await produceRound(context, round);
    delivered.push(...answers);
    if (answers.some(({ answer }) => answer.code !== CODE.none)) break;
  }
  return delivered;
}

function placeOf(topic: string, partition: number): string {
  return `${topic}/${partition}`;
}

function roundsOf(cargo: readonly Cargo[]): Cargo[][] {
  const rounds: Cargo[][] = [];
  const next = new Map<string, number>();
  for (const one of cargo) {
    const { topic, partition } = one;
    const place = placeOf(topic, partition);
    const round = next.get(place) ?? 0;
    next.set(place, round + 1);
    (rounds[round] ??= []).push(one);
  }
  return rounds;
}

async function produceRound(
  context: ProduceContext,
  round: readonly Cargo[],
): Promise<Delivered[]> {
  const byLeader = new Map<string, { leader: Address; cargo: Cargo[] }>();
  for (const one of round) {
    const { topic, partition } = one;
    const leader = context.leaderOf(topic, partition);
    const name = `${leader.host}:${leader.port}`;
    const known = byLeader.get(name);
    if (known === undefined) byLeader.set(name, { leader, cargo: [one] });
    else known.cargo.push(one);
    sealBatch(one.batch, context.stampOf(one));
  }
  const answers = await Promise.all(
    [...byLeader.values()].map(({ leader, cargo }) =>
      context.links.callOver(
        context.purpose,
        leader,
        produceApi,
        context.transactionalId,
        context.requestTimeoutMs,
        topicsOf(cargo),
      ),
    ),
  );
  const byPlace = new Map(
    answers
      .flatMap((one) => one.answers)
      .map((answer) => [placeOf(answer.topic, answer.partition), answer]),
  );
  return round.map((cargo) => {
    const { topic, partition } = cargo;
    const answer = byPlace.get(placeOf(topic, partition));
    return { cargo, answer: must(answer, 'Produce answers for every partition that was sent') };
  });
}

function topicsOf(cargo: readonly Cargo[]): ProduceTopic[] {
  const topics = new Map<string, { partition: number; batch: Buffer }[]>();
  for (const { topic, partition, batch } of cargo) {
    const partitions = topics.get(topic);
    const entry = { partition, batch: batch.bytes };
    if (partitions === undefined) topics.set(topic, [entry]);
    else partitions.push(entry);
  }
  return [...topics].map(([topic, partitions]) => ({ topic, partitions }));
}
