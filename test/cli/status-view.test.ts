import { expect, test } from 'vitest';
import type { AgentStatus } from '../../src/admin/status.ts';
import { clipStyled, watchLines } from '../../src/cli/status-view.ts';
import { STATUS } from '../support/agent-status.ts';
import { PLAIN_CONTEXT } from '../support/cli-context.ts';

/** What `gatelog status --watch` draws. */
function lines(now: AgentStatus, before?: AgentStatus, trouble?: string): string[] {
  const seen = { status: now, before, at: 0, trouble };
  return watchLines(PLAIN_CONTEXT, 'title', seen, { columns: 200, rows: 60 });
}

const rates = (all: readonly string[]): string | undefined =>
  all.find((line) => line.startsWith('rates'));

test('rates are of the agent’s own time, and of one life', () => {
  const { store } = STATUS;
  if (store === null) throw new Error('a status with a log is wanted');
  const later = {
    ...STATUS,
    uptimeMs: STATUS.uptimeMs + 2000,
    store: { ...store, recordsAppended: store.recordsAppended + 25 },
  };
  expect(rates(lines(STATUS))).toBe('rates     …');
  expect(rates(lines(later, STATUS))).toBe('rates     0.0 messages/s in, records/s: 12.5 stored');
  expect(rates(lines({ ...later, startedAt: 'T' }, STATUS))).toBe('rates     …');
  expect(rates(lines(STATUS, later))).toBe('rates     …');
});

test('why it is old stands at the top, and the rest stays', () => {
  const shown = lines(STATUS, undefined, 'gone');
  expect(shown.slice(0, 4)).toEqual(['title', 'gone', '', 'rates     …']);
});

test('at every size: as many lines as there are rows, none wider than the columns', () => {
  const seen = { status: STATUS, before: undefined, at: 0, trouble: undefined };
  const at = (columns: number, rows: number): string[] =>
    watchLines(PLAIN_CONTEXT, 'title', seen, { columns, rows });
  const all = at(200, 60).length;
  for (const [columns, rows] of [
    [20, 5],
    [80, 10],
    [1, 1],
    [0, 3],
    [40, 0],
  ] as const) {
    const shown = at(columns, rows);
    expect(shown).toHaveLength(Math.min(rows, all));
    expect(Math.max(0, ...shown.map((line) => line.length))).toBeLessThanOrEqual(columns);
  }
  expect(at(80, 10).at(-1)).toBe(`… ${all - 9} more lines: a larger window shows them`);
});

test('a style counts no column and ends where the text is cut', () => {
  const styled = '\u001b[1mbold\u001b[22m and \u001b[31mred\u001b[39m';
  expect(clipStyled(styled, 12)).toBe(styled);
  expect(clipStyled(styled, 11)).toBe('\u001b[1mbold\u001b[22m and \u001b[31mr…\u001b[0m');
  expect(clipStyled(styled, 3)).toBe('\u001b[1mbo…\u001b[0m');
  expect(clipStyled('plain text', 6)).toBe('plain…');
  expect(clipStyled('two\nlines', 20)).toBe('two lines');
});
