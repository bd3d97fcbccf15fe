import type { z } from 'zod';
import { CLIENT_BOUNDS, type ClientLimits, DEFAULT_CLIENT_LIMITS } from '../client-limits.ts';
import { LIMITS } from '../limits.ts';
import { DAY_MS } from '../units.ts';
import { duration, integer, type Leaf, orNone, section, size } from './config-leaves.ts';

/** The part of the schema that says what a client may take. */
const COUNT_A_SECOND = { min: 1, max: 10_000_000 };
const BYTES_A_SECOND = { min: 1024, max: 1024 ** 4 };

function count(): z.ZodType<number | 'none'> {
  const expected = 'a whole number from 1 to 10000000 a second, or none';
  return orNone(integer(COUNT_A_SECOND), expected).default('none');
}

function bytes(): z.ZodType<number | 'none'> {
  const expected = 'a size from 1KiB a second, such as 64KiB, or none';
  return orNone(size(BYTES_A_SECOND, ''), expected).default('none');
}

function text(min: number): Leaf<number> {
  return size({ min, max: CLIENT_BOUNDS.textBytes }, `from ${min} to 65535 bytes, such as 1KiB`);
}

const DEFAULTS = DEFAULT_CLIENT_LIMITS;

export const clientLimitsSection: z.ZodType<ClientLimits> = section({
  connects: count(),
  connectsPerAddress: count(),
  messages: count(),
  bytes: bytes(),
  totalMessages: count(),
  totalBytes: bytes(),
  slowed: orNone(
    duration({ min: 1000, max: DAY_MS }, ''),
    'a duration from 1s to 1d, such as 5m, or none',
  ).default(DEFAULTS.slowedMs ?? 'none'),
  inFlight: integer({ min: 1, max: LIMITS.ownProducers }).default(DEFAULTS.inFlight),
  subscriptions: integer({ min: 1, max: LIMITS.subscriptions }).default(DEFAULTS.subscriptions),
  clientId: text(CLIENT_BOUNDS.clientIdBytesMin).default(DEFAULTS.clientIdBytes),
  topic: text(64).default(DEFAULTS.topicBytes),
  topicLevels: integer({ min: 1, max: CLIENT_BOUNDS.topicLevels }).default(DEFAULTS.topicLevels),
  will: size({ min: 64, max: 131_072 }, 'from 64 bytes to 128KiB, such as 16KiB').default(
    DEFAULTS.willBytes,
  ),
}).transform((limits) => ({
  connectsPerSecond: given(limits.connects),
  addressConnectsPerSecond: given(limits.connectsPerAddress),
  messagesPerSecond: given(limits.messages),
  bytesPerSecond: given(limits.bytes),
  totalMessagesPerSecond: given(limits.totalMessages),
  totalBytesPerSecond: given(limits.totalBytes),
  slowedMs: given(limits.slowed),
  inFlight: limits.inFlight,
  subscriptions: limits.subscriptions,
  clientIdBytes: limits.clientId,
  topicBytes: limits.topic,
  topicLevels: limits.topicLevels,
  willBytes: limits.will,
}));

function given(value: number | 'none'): number | undefined {
  return value === 'none' ? undefined : value;
}
