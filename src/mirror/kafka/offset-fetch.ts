import { offsetFetchV7 } from '@platformatic/kafka';
import { CODE } from './codes.ts';
import type { Address } from './address.ts';
import type { Links } from './links.ts';
import type { RemotePosition } from './resume.ts';

/** OffsetFetch, version 7 (KIP-447), of a group's positions on the positions topic. */
export interface PositionsQuestion {
  readonly group: string;
  readonly positionsTopic: string;
  readonly indexes: readonly number[];
  /** Answers UNSTABLE_OFFSET_COMMIT while a transaction with one of them is open. */
  readonly requireStable: boolean;
}

export interface PositionsAnswer {
  readonly code: number;
  readonly positions: ReadonlyMap<number, RemotePosition>;
}

export async function askPositions(
  links: Links,
  coordinator: Address,
  { group, positionsTopic, indexes, requireStable }: PositionsQuestion,
): Promise<PositionsAnswer> {
  if (indexes.length === 0) return { code: CODE.none, positions: new Map() };
  const topics = [{ name: positionsTopic, partitionIndexes: [...indexes] }];
  const groups = [{ groupId: group, topics }];
  const result = await links.call(coordinator, offsetFetchV7.api, groups, requireStable);
  const partitions = result.topics.flatMap((topic) => topic.partitions);
  const codes = [result.errorCode, ...partitions.map((partition) => partition.errorCode)];
  const positions = new Map(
    partitions.map(({ partitionIndex, committedOffset, metadata }) => [
      partitionIndex,
      { offset: Number(committedOffset), metadata: metadata ?? null },
    ]),
  );
  return { code: codes.find((code) => code !== CODE.none) ?? CODE.none, positions };
}
