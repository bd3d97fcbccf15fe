import { assert } from '../assert.ts';
import type { Random } from '../random.ts';

export interface BackoffLimits {
  readonly firstMs: number;
  readonly maxMs: number;
}

/**
 * Milliseconds to wait before try number `attempt` (the first failure is attempt 0): uniform in
 * [0, min(maxMs, firstMs × 2^attempt)). Full jitter spreads a fleet of gateways that lost the same
 * far side in the same second ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
 */
export function backoffMs(attempt: number, limits: BackoffLimits, random: Random): number {
  assert(Number.isInteger(attempt) && attempt >= 0, 'attempts count from 0');
  return random.next() * backoffCeilingMs(attempt, limits);
}

/** The longest wait possible before try number `attempt`: never falls, never beyond maxMs. */
export function backoffCeilingMs(attempt: number, limits: BackoffLimits): number {
  return Math.min(limits.maxMs, limits.firstMs * 2 ** attempt);
}
