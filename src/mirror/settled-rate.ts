/** How many buckets, of how much time, the rate is taken from: a minute. */
const BUCKETS = 12;
const BUCKET_MS = 5000;

/** Records settled in the last minute. Times are monotonic, in ms. */
export class SettledRate {
  readonly #counts = Array.from<number>({ length: BUCKETS }).fill(0);
  readonly #startedMs: number;
  #bucket: number;
  #lastMs = Number.NEGATIVE_INFINITY;

  constructor(nowMs: number) {
    this.#startedMs = nowMs;
    this.#bucket = bucketOf(nowMs);
  }

  /** When something was settled last. */
  get lastMs(): number {
    return this.#lastMs;
  }

  note(records: number, nowMs: number): void {
    this.#turnTo(nowMs);
    this.#lastMs = nowMs;
    this.#counts[this.#bucket % BUCKETS] = (this.#counts[this.#bucket % BUCKETS] ?? 0) + records;
  }

  /** Records in a ms. */
  at(nowMs: number): number {
    this.#turnTo(nowMs);
    const coveredMs = (BUCKETS - 1) * BUCKET_MS + (nowMs % BUCKET_MS);
    const overMs = Math.max(BUCKET_MS, Math.min(coveredMs, nowMs - this.#startedMs));
    return this.#counts.reduce((sum, count) => sum + count, 0) / overMs;
  }

  #turnTo(nowMs: number): void {
    const bucket = bucketOf(nowMs);
    const from = Math.max(this.#bucket + 1, bucket - BUCKETS + 1);
    for (let at = from; at <= bucket; at++) this.#counts[at % BUCKETS] = 0;
    this.#bucket = Math.max(this.#bucket, bucket);
  }
}

function bucketOf(nowMs: number): number {
  return Math.floor(nowMs / BUCKET_MS);
}
