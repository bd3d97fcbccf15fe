import type { WearStatus } from '../admin/wear-status.ts';
import { LIMITS } from '../limits.ts';
import { formatDiskSize, formatDuration } from '../units.ts';

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
  return [rateLine(wear), ...lifeLine(wear), commitLine(wear), ...budgetLine(wear)];
}

function rateLine(wear: WearStatus): string {
  const { device, diskBytesPerDay, diskAmplification } = wear;
  const over = `measured over ${formatDuration(wear.windowMs)}`;
  const own = wear.processBytesPerDay;
  const process = own === null ? '' : `${formatDiskSize(own)} by this process`;
  if (device === null || diskBytesPerDay === null) {
    const reason = wear.deviceUnknown ?? `the kernel does not tell of ${device?.disk ?? 'it'}`;
    const times = timesText(wear.processAmplification);
    return `${process} a day${times}, ${over}; what reaches the disk is not known: ${reason}`;
  }
  const rest = process === '' ? '' : `, ${process}`;
  return `${formatDiskSize(diskBytesPerDay)} a day to ${device.disk}${timesText(diskAmplification)}${rest}; ${over}`;
}

function timesText(amplification: number | null): string {
  return amplification === null ? '' : ` (${amplification.toFixed(1)} × the payload)`;
}

function lifeLine({ ratingBytes, ratingYears, windowMs, device }: WearStatus): string[] {
  if (ratingBytes === null) return [];
  const rating = formatDiskSize(ratingBytes);
  if (ratingYears === null) return [`nothing is written, so the rated ${rating} last for ever`];
  const years = ratingYears >= 100 ? 'more than 100' : ratingYears.toFixed(1);
  const whose = device === null ? 'counting this process only, ' : '';
  const early = windowMs < LIMITS.wearTellMs ? ' (measured too shortly to trust)' : '';
  return [`${whose}at this rate the card’s rated ${rating} lasts ${years} years${early}`];
}

function commitLine({ commitsPerSecond, syncsPerSecond, lingerMs }: WearStatus): string {
  const waits = lingerMs === 0 ? 'without waiting for company' : `each waiting up to ${lingerMs}ms`;
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
