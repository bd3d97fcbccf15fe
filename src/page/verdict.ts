import type { AgentStatus } from '../admin/status.ts';
import type { MirrorStatus } from '../mirror/status.ts';
import { count, counted, duration } from './format.ts';
import { isEarly } from './wear.ts';

/** How the gateway is, in one sentence, and what to do about it. */
export interface Verdict {
  readonly level: 'good' | 'watch' | 'bad';
  readonly sentence: string;
  /** What else is to be known, and what to do; the most urgent first. */
  readonly points: readonly string[];
}

interface Finding {
  readonly level: 'watch' | 'bad';
  readonly text: string;
  /** The cause, as it was told. */
  readonly why: string | undefined;
  readonly todo: string;
}

const DAY_MS = 86_400_000;

/** What the gateway's own wall clock shows: when it started says nothing where the clock jumped since. */
export function wallClockOf({ clock, startedAt, uptimeMs }: AgentStatus): number {
  return clock === null ? Date.parse(startedAt) + uptimeMs : Date.parse(clock.time) + clock.aheadMs;
}

/** `nowMs`: the gateway's own wall clock. */
export function verdictOf(status: AgentStatus, nowMs: number): Verdict {
  const findings = [
    ...storeFindings(status, nowMs),
    ...status.mirrors.flatMap(mirrorFindings),
    ...surroundingFindings(status),
  ].toSorted((left, right) => rank(left) - rank(right));
  const [worst] = findings;
  if (worst === undefined) return { level: 'good', sentence: wellSentence(status), points: [] };
  const points = findings.map(({ text, why, todo }, at) => {
    const cause = why === undefined ? '' : `${why.replace(/\.$/u, '')}. `;
    return at === 0 ? `${cause}${todo}` : `${text}. ${cause}${todo}`;
  });
  return { level: worst.level, sentence: `${worst.text}.`, points };
}

function rank({ level }: Finding): number {
  return level === 'bad' ? 0 : 1;
}

function bad(text: string, todo: string, why?: string): Finding {
  return { level: 'bad', text, todo, why };
}

function watch(text: string, todo: string, why?: string): Finding {
  return { level: 'watch', text, todo, why };
}

function wellSentence({ mirrors, topics }: AgentStatus): string {
  const held = mirrors.find((one) => WAITING.has(one.state));
  if (held !== undefined) {
    return `All is well: ${counted(held.lagRecords, 'record')} ${held.lagRecords === 1 ? 'waits' : 'wait'} for ${held.name} (${held.state}).`;
  }
  const stored = topics.reduce((sum, { records }) => sum + records, 0);
  if (mirrors.length === 0)
    return `All is well: ${counted(stored, 'record')} stored here; nothing is mirrored.`;
  const lag = Math.max(...mirrors.map((one) => one.lagRecords));
  if (lag === 0) return 'All is well: everything has arrived at the far side.';
  const silent = mirrors.find(isSilent);
  const behind = mirrors.find((one) => one.state === 'catching up');
  const silence = silent === undefined ? '' : `; no answer for ${duration(silent.unansweredMs)}`;
  if (behind === undefined) {
    const onTheWay = `${counted(lag, 'record')} on the way`;
    return silent === undefined
      ? `All is well: ${onTheWay}.`
      : `Waiting for ${silent.name}: ${onTheWay}${silence}.`;
  }
  const eta = etaMs(behind);
  const rest = eta === undefined ? '' : `, about ${duration(eta)} to go`;
  return `Catching up with ${behind.name}: ${counted(behind.lagRecords, 'record')} behind${rest}${silence}.`;
}

/** A link that swallows what is sent looks like one that is slow: until it counts as stalled this is all there is to say. */
const UNANSWERED_MS = 1500;

export function isSilent({ lagRecords, unansweredMs }: MirrorStatus): boolean {
  return lagRecords > 0 && unansweredMs >= UNANSWERED_MS;
}

const WAITING: ReadonlySet<string> = new Set(['over budget', 'waiting for schedule', 'metered']);

/** Until everything is sent at the pace of the last minute; undefined: it does not move. */
export function etaMs({ topics }: Pick<MirrorStatus, 'topics'>): number | undefined {
  let greatest = 0;
  for (const { lagRecords, etaMs: own } of topics) {
    if (lagRecords === 0) continue;
    if (own === undefined) return undefined;
    greatest = Math.max(greatest, own);
  }
  return greatest;
}

function storeFindings({ degraded, store }: AgentStatus, nowMs: number): Finding[] {
  if (degraded !== null || store === null) {
    return [
      bad(
        'The log is not open, and devices get no acknowledgement',
        'It is tried again by itself; look at the disk (gatelog doctor).',
        degraded ?? undefined,
      ),
    ];
  }
  const { disk, trouble } = store;
  const found: Finding[] = [];
  if (trouble !== null) {
    found.push(bad('Nothing is acknowledged', 'Look at the disk (gatelog doctor).', trouble));
  } else if (disk.refusal !== null) {
    found.push(bad('The disk is full', 'Make room, or raise store.maxBytes.', disk.refusal));
  } else if (disk.refusedTopics.length > 0) {
    const text = `No room for ${disk.refusedTopics.join(', ')}`;
    found.push(bad(text, 'Make room, or bring the link back, so that records may go.'));
  } else if (disk.step === 'drop-unmirrored') {
    const text = 'The disk is nearly full: records are given up that no mirror has';
    found.push(bad(text, 'Make room, or bring the link back; gaps below tell what was lost.'));
  } else if (disk.step === 'drop-mirrored') {
    const text = 'The disk fills: what mirrors have is removed early';
    found.push(watch(text, 'Make room before records must be given up.'));
  } else if (disk.step === 'warn') {
    found.push(watch('The disk fills', 'Make room before old records must go.'));
  }
  const { lastDroppedMs, recordsDropped } = disk;
  if (lastDroppedMs !== null && nowMs - lastDroppedMs < DAY_MS) {
    const text = `${counted(recordsDropped, 'record')} lost for want of space since start`;
    found.push(watch(text, 'The loss ledger tells which.'));
  }
  return found;
}

function mirrorFindings(mirror: MirrorStatus): Finding[] {
  const { name, state, reason, forMs, downForMs, lagRecords } = mirror;
  const behind = lagRecords === 0 ? '' : `, ${counted(lagRecords, 'record')} behind`;
  const stopped = mirror.topics.filter((topic) => topic.state === 'stopped');
  const found: Finding[] = stopped.map(({ topic, reason: cause }) =>
    bad(`${name}: topic ${topic} has stopped`, 'Mend it, then resume.', cause),
  );
  if (state === 'halted') {
    const todo = 'Only a person can decide how to go on; then resume it.';
    found.push(bad(`${name} has halted${behind}`, todo, reason));
  } else if (state === 'refused') {
    const todo = 'Mend what it says; it is tried again by itself.';
    found.push(bad(`${name} is refused by the far side${behind}`, todo, reason));
  } else if (state === 'stalled' || state === 'backing off' || (downForMs ?? 0) > 10_000) {
    const what = state === 'stalled' ? 'does not answer' : 'can not be reached';
    const since = duration(downForMs ?? forMs);
    const todo = 'Records wait here and go by themselves when the link is back.';
    found.push(watch(`${name} ${what} for ${since}${behind}`, todo, reason));
  } else if (state === 'paused') {
    found.push(watch(`${name} is paused by a person${behind}`, 'Resume it when it may go on.'));
  }
  if (mirror.recordsRejected > 0) {
    const text = `${name}: the far side did not take ${counted(mirror.recordsRejected, 'record')}`;
    found.push(watch(text, 'They are kept in _quarantine.'));
  }
  return found;
}

function surroundingFindings(status: AgentStatus): Finding[] {
  const { clock, certificates, accessFiles, wear, http } = status;
  const found: Finding[] = [];
  if (clock !== null && clock.state === 'suspect') {
    const todo = 'Bring network time; records keep their order, and get the best known time.';
    found.push(watch('The clock is not believed', todo, clock.why ?? undefined));
  }
  for (const { file, state, expiresInMs, trouble } of certificates) {
    if (trouble !== null)
      found.push(watch(`Certificate ${file}: ${trouble}`, 'The one before is in use.'));
    if (state === 'expired')
      found.push(bad(`Certificate ${file} has expired`, 'Put a new one in its place.'));
    if (state === 'expiring') {
      const text = `Certificate ${file} ends in ${duration(expiresInMs)}`;
      found.push(watch(text, 'Put a new one in its place; it is taken without a restart.'));
    }
  }
  for (const { what, source, trouble } of accessFiles) {
    if (trouble === null) continue;
    found.push(watch(`${source} (${what}): ${trouble}`, 'What was read before stays in use.'));
  }
  if (wear !== null && wear.ratingYears !== null && !isEarly(wear) && wear.ratingYears < 1) {
    const text = `The card lasts ${count(wear.ratingYears * 12)} more months at this pace`;
    found.push(watch(text, 'Set store.wear.budget, or a better card.'));
  }
  if (http.trouble !== null) found.push(watch(http.trouble, 'It is tried again.'));
  return found;
}
