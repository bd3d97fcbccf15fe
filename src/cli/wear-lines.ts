import type { WearStatus } from '../admin/wear-status.ts';
import { LIMITS } from '../limits.ts';
import { formatDiskSize, formatDuration } from '../units.ts';

const YEAR_MS = 365.25 * 86_400_000;

/**
 * What is written to the card or disk and how long it lasts, for `gatelog status` and `gatelog
 * doctor`: one line each, the most important first.
 */
export function wearLines(wear: WearStatus): string[] {
  const { windowMs, diskBytesPerDay, processBytesPerDay } = wear;
  if (diskBytesPerDay === null && processBytesPerDay === null) {
    return ['this system does not tell how much is written'];
  }
  if (windowMs < 1000) return ['measured from now on'];
  if (windowMs < LIMITS.wearTellMs) {
    return [earlyLine(windowMs), commitLine(wear), ...budgetLine(wear)];
  }
  return [rateLine(wear), ...lifeLine(wear), commitLine(wear), ...budgetLine(wear)];
}

/** A minute makes no day: the log was opened, a check has just begun. */
function earlyLine(windowMs: number): string {
  const from = formatDuration(LIMITS.wearTellMs);
  return `measured for ${formatDuration(windowMs)}: too early to tell what a day comes to (from ${from} on)`;
}

function rateLine(wear: WearStatus): string {
  const { device, diskBytesPerDay, diskAmplification } = wear;
  const over = `measured over ${formatDuration(wear.windowMs)}`;
  const own = wear.processBytesPerDay;
  const process = own === null ? '' : `${formatDiskSize(own)} by this process`;
  if (device === null || diskBytesPerDay === null) {
    const reason = wear.deviceUnknown ?? `the kernel does not tell of ${device?.disk ?? 'it'}`;
    if (isOffDisk(wear)) return `${reason}: nothing is worn, as far as the kernel tells; ${over}`;
    const times = timesText(wear.processAmplification);
    return `${process} a day${times}, ${over}; what reaches the disk is not known: ${reason}`;
  }
  const rest = process === '' ? '' : `, ${process}`;
  return `${formatDiskSize(diskBytesPerDay)} a day to ${device.disk}${timesText(diskAmplification)}${rest}; ${over}`;
}

/** As on tmpfs: no device is known, and nothing that this process writes goes to any. */
function isOffDisk({ device, processBytesPerDay }: WearStatus): boolean {
  return device === null && processBytesPerDay === 0;
}

function timesText(amplification: number | null): string {
  return amplification === null ? '' : ` (${amplification.toFixed(1)} × the payload)`;
}

function lifeLine(wear: WearStatus): string[] {
  const { ratingBytes, ratingYears, device } = wear;
  if (ratingBytes === null || isOffDisk(wear)) return [];
  const rating = formatDiskSize(ratingBytes);
  if (ratingYears === null) return [`nothing is written, so the rated ${rating} last for ever`];
  const whose = device === null ? 'counting this process only, ' : '';
  return [`${whose}at this rate the card’s rated ${rating} lasts ${yearsText(ratingYears)}`];
}

function yearsText(years: number): string {
  if (years >= 100) return 'more than 100 years';
  return years >= 1 ? `${years.toFixed(1)} years` : formatDuration(years * YEAR_MS);
}

function commitLine({ commitsPerSecond, syncsPerSecond, lingerMs }: WearStatus): string {
  const waits =
    lingerMs === 0
      ? 'without waiting for company'
      : `each waiting up to ${formatDuration(lingerMs)}`;
  const rates = `${commitsPerSecond.toFixed(1)} commits a second, ${syncsPerSecond.toFixed(1)} syncs`;
  return `${rates}, ${waits}`;
}

function budgetLine({ budgetBytes, budgetLevel }: WearStatus): string[] {
  if (budgetBytes === null || budgetLevel === null) return [];
  const state =
    budgetLevel >= 0.5
      ? 'kept'
      : budgetLevel > 0
        ? 'running hot, so commits wait longer'
        : 'exceeded, though commits wait as long as they may';
  return [`budget of ${formatDiskSize(budgetBytes)} a day: ${state}`];
}
