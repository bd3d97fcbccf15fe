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

const forever = { retentionMs: undefined, retentionBytes: undefined } as const;

/** `ring` and `quick` lose their oldest to byte caps all the time. */
export const LOAD_TOPICS: readonly LoadTopic[] = [
  { name: 'telemetry', options: { partitions: 3, durability: 'fsync', ...forever } },
  {
    name: 'ring',
    options: {
      partitions: 2,
      durability: 'fsync',
      retentionMs: undefined,
      retentionBytes: 400_000,
    },
  },
  {
    name: 'quick',
    options: { partitions: 2, durability: 'os', retentionMs: undefined, retentionBytes: 200_000 },
  },
];

/** A reader that retention waits for, and one that it does not. */
export const READERS = [
  { name: 'mirror', pins: true },
  { name: 'viewer', pins: false },
] as const;

export const PRODUCER = 'central/once';
export const NOTE_SPACE = 'journal';
export const NOTE_KEY = 'last';
