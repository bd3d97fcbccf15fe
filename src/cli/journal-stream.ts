import { fstatSync } from 'node:fs';

/** Whether what is written there goes to systemd's journal, which says which stream that is (systemd.exec(5)). */
export function isJournal(
  { env }: { readonly env: Readonly<Record<string, string | undefined>> },
  fd: number,
): boolean {
  const journal = env['JOURNAL_STREAM'] ?? '';
  if (journal === '') return false;
  const { dev, ino } = fstatSync(fd, { bigint: true });
  return journal === `${dev}:${ino}`;
}
