import type {
  BudgetStatus,
  HoldStatus,
  LinkStatus,
  WindowStatus,
} from '../mirror/policy/link-status.ts';
import type { MirrorStatus } from '../mirror/status.ts';
import { isoTime } from '../time.ts';
import { formatDiskSize, formatDuration, formatRate } from '../units.ts';

/** What a mirror's link costs: a line each, for `gatelog mirror status`. */
export function linkLines(link: LinkStatus | undefined): string[] {
  if (link === undefined) return [];
  return [
    rateLine(link),
    ...link.budgets.map(budgetLine),
    ...link.windows.map(windowLine),
    ...meteredLines(link),
  ];
}

/** Of which topics only a sample goes, now or while the link is metered. */
export function sampleLines({ topics }: Pick<MirrorStatus, 'topics'>): string[] {
  return topics.flatMap(({ topic, sample, lagRecords, partitions }) => {
    if (sample === undefined) return [];
    const { keep, now, full, when, rest } = sample;
    const left = partitions.reduce((sum, { recordsSampled }) => sum + recordsSampled, 0);
    const fate =
      rest === 'ledger' ? `${left} left out since start, as the ledger says` : `${lagRecords} wait`;
    if (full) {
      return [`${topic}: nothing goes, for as much went as is remembered; ${lagRecords} wait`];
    }
    if (now) return [`${topic}: of its records the ${keep} goes; ${fate}`];
    return [`${topic}: all goes; while the link is ${when}, the ${keep}`];
  });
}

/** What the link's policy holds back while the rest goes. */
export function holdLine({ classes, reason, sinceMs }: HoldStatus): string {
  return `${classes.join(', ')} held back since ${isoTime(sinceMs)}: ${reason}`;
}

function rateLine({ bitsPerSecond, capBitsPerSecond, wireBytes, countedBy }: LinkStatus): string {
  const cap = capBitsPerSecond === undefined ? '' : ` of at most ${formatRate(capBitsPerSecond)}`;
  const how = countedBy === 'kernel' ? 'counted by the kernel' : 'reckoned';
  const total = `${formatDiskSize(wireBytes)} on the wire since start, ${how}`;
  return `link: ${formatRate(bitsPerSecond)}${cap}, ${total}`;
}

function budgetLine(budget: BudgetStatus): string {
  const { per, bytes, usedBytes, over, exempt, resetsMs } = budget;
  const share = Math.floor((usedBytes / bytes) * 100);
  const used = `${formatDiskSize(usedBytes)} of ${formatDiskSize(bytes)} (${share} %)`;
  const until = resetsMs === undefined ? 'until the time is known' : `until ${isoTime(resetsMs)}`;
  const free = exempt.length === 0 ? '' : `, ${exempt.join(', ')} exempt`;
  return `budget of the ${per}: ${used} ${until}${over ? ', used up' : ''}${free}`;
}

function windowLine({ from, forMs, classes, openUntilMs, opensMs }: WindowStatus): string {
  const of = classes === null ? '' : ` for ${classes.join(', ')}`;
  const opens = opensMs === undefined ? 'nobody knows when it opens' : `opens ${isoTime(opensMs)}`;
  const state = openUntilMs === undefined ? opens : `open until ${isoTime(openUntilMs)}`;
  return `window "${from}", ${formatDuration(forMs)}${of}: ${state}`;
}

function meteredLines({ metered }: LinkStatus): string[] {
  if (metered === undefined) return [];
  const way = metered.interface ?? 'no way to the far side is known';
  const by =
    metered.by === undefined ? '' : ` (${metered.by === 'name' ? 'by its name' : metered.by})`;
  return [`way: ${way}, ${metered.metered ? `metered${by}` : 'not metered'}`];
}
