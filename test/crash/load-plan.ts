import type { Durability } from '../../src/record.ts';
import type { TopicOptions } from '../../src/store/log.ts';

/** What the process under test is told to do, as JSON in its argument. */
export interface LoadPlan {
  readonly folder: string;
  /** Number of this life: part of every message's id. */
  readonly life: number;
  readonly seed: number;
  readonly segmentBytes: number;
  readonly compression: 'zstd' | 'none';
  /** Mean of payload sizes. */
  readonly payloadBytes: number;
  /** Next sequence of the producer that appends once. */
  readonly sequence: number;
  /** `sync-off`: the planted bug. Every write is acknowledged without a sync. */
  readonly plant?: 'sync-off' | undefined;
}

export interface LoadTopic {
  readonly name: string;
  readonly options: TopicOptions & { readonly durability: Durability };
}

/** All lose their oldest to byte caps all the time, so that segments are removed. */
export const LOAD_TOPICS: readonly LoadTopic[] = [
  topicOf('telemetry', 3, 'fsync', 200_000),
  topicOf('ring', 2, 'fsync', 100_000),
  topicOf('quick', 2, 'os', 60_000),
];

function topicOf(
  name: string,
  partitions: number,
  durability: Durability,
  retentionBytes: number,
): LoadTopic {
  return { name, options: { partitions, durability, retentionMs: undefined, retentionBytes } };
}

/** A reader that retention waits for, and one that it does not. */
export const READERS = [
  { name: 'mirror', pins: true },
  { name: 'viewer', pins: false },
] as const;

export const PRODUCER = 'central/once';
export const NOTE_SPACE = 'journal';
export const NOTE_KEY = 'last';
