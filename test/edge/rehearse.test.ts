import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { RehearsalReport } from '../../src/cli/rehearse/report.ts';
import { CliFolder } from '../support/cli.ts';

/** `gatelog rehearse` as a person runs it. */
let cli: CliFolder;

beforeEach(() => {
  cli = new CliFolder();
  // The person's own data: only looked at from outside.
  mkdirSync(cli.data);
  writeFileSync(join(cli.data, 'precious'), 'do not touch');
});
afterEach(() => cli.remove());

function expectNothingLeft(): void {
  expect(readdirSync(cli.folder)).toEqual(['gatelog-data']);
  expect(readdirSync(cli.data)).toEqual(['precious']);
  expect(readFileSync(join(cli.data, 'precious'), 'utf8')).toBe('do not touch');
  expect(readFileSync('/proc/mounts', 'utf8')).not.toContain(cli.folder);
}

test('every exercise passes, and nothing is left behind', async () => {
  const { code, stdout, stderr } = await cli.run(['rehearse', '--for', '12s', '--json']);
  expect(stderr).toBe('');
  const report = JSON.parse(stdout) as RehearsalReport;
  const failed = report.exercises.filter(({ verdict }) => verdict !== 'passed');
  expect(failed).toEqual([]);
  expect(report.exercises.map(({ name }) => name)).toEqual([
    'kill',
    'power',
    'disk',
    'clock',
    'link',
  ]);
  expect(report.verdict).toBe('passed');
  expect(code).toBe(0);
  expectNothingLeft();
});

test('Ctrl-C ends it early, with 130, and it cleans up', async () => {
  const rehearsal = await cli.start(['rehearse', '--only=disk', '--only=clock', '--for=10m']);
  await rehearsal.waitFor(/Rehearsing for 10m/u);
  await expect
    .poll(() => readdirSync(cli.folder).some((name) => name.startsWith('gatelog-rehearsal-')))
    .toBe(true);
  rehearsal.signal('SIGINT');
  expect(await rehearsal.exited).toEqual({ code: 130, signal: null });
  expect(rehearsal.stdout()).toMatch(/^left  .*\n(?:.*\n)*skip  .*: not run\n\nInterrupted/mu);
  expect(rehearsal.stdout()).not.toContain('✗');
  expectNothingLeft();
});

test('where nothing can be written, it says so', async () => {
  const { code, stderr } = await cli.run(['rehearse', '--in', '/proc']);
  expect(code).toBe(74);
  expect(stderr).toContain('--in DIR');
});

test('an exercise that there is not is named', async () => {
  const { code, stderr } = await cli.run(['rehearse', '--only', 'flood']);
  expect(code).toBe(64);
  expect(stderr).toContain('kill, power, disk, clock, link');
});
