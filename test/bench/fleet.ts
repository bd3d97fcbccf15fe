import { seededRandom } from '../../src/random.ts';

/**
 * npm run bench:fleet: what readers of one shared partition wait when many gateways with flaky links
 * write to it, by transaction timeout and by how long a transaction is open. A model, not a
 * measurement: a read_committed reader stops at the oldest open transaction (the last stable
 * offset), a transaction whose link broke is open until its gateway is back or the coordinator has
 * looked (its timeout, then a look every 10 s; `bench:orphan` measures that on real brokers).
 */
const GATEWAYS = 200;
const HOURS = 12;
const SWEEP_MS = 10_000;
const random = seededRandom(1);

interface Fleet {
  /** A transaction is open for so long, and one begins so often. */
  readonly openMs: number;
  readonly everyMs: number;
  readonly timeoutMs: number;
  /** A link breaks so often, and is back after so long on average. */
  readonly breaksEveryMs: number;
  readonly backAfterMs: number;
}

function exponential(meanMs: number): number {
  return -Math.log(1 - random.next()) * meanMs;
}

/** From when to when transactions were open, by their beginnings. */
function transactionsOf(fleet: Fleet): [number, number][] {
  const endMs = HOURS * 3_600_000;
  const spans: [number, number][] = [];
  for (let gateway = 0; gateway < GATEWAYS; gateway++) {
    let breaksAt = exponential(fleet.breaksEveryMs);
    for (let at = random.next() * fleet.everyMs; at < endMs;) {
      const done = at + fleet.openMs * (0.75 + random.next() / 2);
      if (breaksAt >= done) {
        spans.push([at, done]);
        at = Math.max(done, at + fleet.everyMs);
        continue;
      }
      const back = breaksAt + exponential(fleet.backAfterMs);
      const swept = at + fleet.timeoutMs + random.next() * SWEEP_MS;
      if (breaksAt > at) spans.push([at, Math.min(back, swept)]);
      at = back;
      breaksAt = back + exponential(fleet.breaksEveryMs);
    }
  }
  return spans.toSorted(([one], [other]) => one - other);
}

/** How long records that arrive at random moments wait for what was open before them. */
function delays(spans: readonly [number, number][]): number[] {
  const found: number[] = [];
  let next = 0;
  let open: number[] = [];
  for (let at = 60_000; at < HOURS * 3_600_000; at += exponential(2000)) {
    for (let span = spans[next]; span !== undefined && span[0] <= at; span = spans[++next])
      open.push(span[1]);
    open = open.filter((end) => end > at);
    // A record is read when everything is closed that was open when it was appended.
    found.push(open.reduce((most, end) => Math.max(most, end - at), 0));
  }
  return found.toSorted((one, other) => one - other);
}

function seconds(sorted: readonly number[], share: number): string {
  return ((sorted[Math.floor(sorted.length * share)] ?? 0) / 1000).toFixed(1);
}

console.log(`${GATEWAYS} gateways on one partition, ${HOURS} h; delay of readers in seconds`);
console.log('| transaction | timeout | a link breaks every | median | 90 % | 99 % |');
console.log('| --- | --- | --- | --- | --- | --- |');
for (const breaksEveryMs of [3_600_000, 600_000, 60_000]) {
  for (const openMs of [50, 600, 2400]) {
    for (const timeoutMs of [5000, 30_000, 60_000]) {
      const fleet = { openMs, everyMs: 10_000, timeoutMs, breaksEveryMs, backAfterMs: 60_000 };
      const found = delays(transactionsOf(fleet));
      const row = [
        `${openMs / 1000} s every 10 s`,
        `${timeoutMs / 1000} s`,
        `${breaksEveryMs / 60_000} min`,
        seconds(found, 0.5),
        seconds(found, 0.9),
        seconds(found, 0.99),
      ];
      console.log(`| ${row.join(' | ')} |`);
    }
  }
}
