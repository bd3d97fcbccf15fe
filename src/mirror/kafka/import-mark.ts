/**
 * An import does what its gateway does, under the gateway's name, and so takes its transactional ids from
 * it. What tells it from a clone is kept and shown by the coordinator (DescribeTransactions), and changes
 * in the same step as the owner: the transaction timeout. An import's ends with a mark, a gateway's never
 * does. A copy of the data folder can't have it.
 */
export type Role = 'gateway' | 'import';

/** Who has a transactional id, or that it can't be told. */
export type Taker = Role | 'unknown';

/** Last three digits. A timeout below them goes without. */
const MARK = 437;

/** The same, or a little less. */
export function markedTimeout(role: Role, timeoutMs: number): number {
  if (role === 'gateway') return isOfImport(timeoutMs) ? timeoutMs - 1 : timeoutMs;
  const whole = Math.floor((timeoutMs - MARK) / 1000) * 1000;
  return whole < 0 ? timeoutMs : whole + MARK;
}

export function isOfImport(timeoutMs: number): boolean {
  return timeoutMs % 1000 === MARK;
}
