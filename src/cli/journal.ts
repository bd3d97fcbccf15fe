import { fstatSync } from 'node:fs';

/** What of syslog's priorities a message of an error has (sd-daemon(3)). */
export const ERROR_PRIORITY = '<3>';

/**
 * Whether what is written to the descriptor comes into systemd's journal: it says which stream is the
 * journal's, for a child's may be another one (systemd.exec(5), JOURNAL_STREAM).
 */
export function isJournal(
  descriptor: number,
  env: Readonly<Record<string, string | undefined>>,
): boolean {
  const stream = env['JOURNAL_STREAM'];
  if (stream === undefined) return false;
  const { dev, ino } = fstatSync(descriptor, { bigint: true });
  return stream === `${dev}:${ino}`;
}
