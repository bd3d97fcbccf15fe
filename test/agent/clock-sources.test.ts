import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  fileSource,
  timesyncdSource,
  readAdjtimex,
  readChrony,
  readTimedate,
  trustOf,
} from '../../src/agent/clock-sources.ts';
import { seededRandom } from '../../src/random.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';

const NOTHING = { says: 'nothing' };
const NOT_YET = { says: 'unsynchronised' };

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gatelog-clock-'));
});
afterEach(() => rm(folder, { recursive: true }));

describe('a file', () => {
  test('is waited for, and every touch is another word', async () => {
    const file = join(folder, 'synchronized');
    const source = fileSource(file);
    expect(await source.ask()).toEqual(NOT_YET);
    await writeFile(file, '');
    await utimes(file, 100, 100);
    const first = await source.ask();
    expect(first).toEqual({ says: 'synchronised', mark: '100000', atMs: 100_000 });
    expect(await source.ask()).toEqual(first);
    await utimes(file, 100, 200);
    expect(await source.ask()).not.toEqual(first);
  });

  test('of a daemon that is not there is not waited for', async () => {
    expect(await timesyncdSource(join(folder, 'timesync')).ask()).toEqual(NOTHING);
    expect(await timesyncdSource(folder).ask()).toEqual(NOT_YET);
    await writeFile(join(folder, 'synchronized'), '');
    expect(await timesyncdSource(folder).ask()).toMatchObject({ says: 'synchronised' });
  });
});

describe('what programs print', () => {
  test('chronyc', () => {
    const line = (leap: string): string =>
      `C0A80101,192.168.1.1,3,1777593600.123456789,0.000012,-0.000005,0.00002,-12.3,0.001,0.02,0.01,0.0005,64.2,${leap}\n`;
    const word = {
      says: 'synchronised',
      mark: '1777593600.123456789',
      atMs: 1_777_593_600_123.4568,
    };
    expect(readChrony(line('Normal'))).toEqual(word);
    expect(readChrony(line('Insert second'))).toEqual(word);
    expect(readChrony(line('Not synchronised'))).toEqual(NOT_YET);
    expect(readChrony('506 Cannot talk to daemon\n')).toEqual(NOTHING);
    expect(readChrony(undefined)).toEqual(NOTHING);
  });

  test('timedatectl', () => {
    expect(readTimedate('NTP=yes\nNTPSynchronized=yes\n')).toEqual({ says: 'synchronised' });
    expect(readTimedate('NTP=no\nNTPSynchronized=yes\n')).toEqual({ says: 'synchronised' });
    expect(readTimedate('NTP=yes\nNTPSynchronized=no\n')).toEqual(NOT_YET);
    expect(readTimedate('NTP=no\nNTPSynchronized=no\n')).toEqual(NOTHING);
    expect(readTimedate('')).toBeUndefined();
    expect(readTimedate(undefined)).toBeUndefined();
  });

  test('adjtimex, Debian’s and busybox’s', () => {
    expect(readAdjtimex('     raw time:  1s\n return value = 0\n')).toEqual({
      says: 'synchronised',
    });
    expect(readAdjtimex('     raw time:  1s\n return value = 5\n')).toEqual(NOTHING);
    expect(readAdjtimex('    return value: 0 (clock synchronized)\n')).toEqual({
      says: 'synchronised',
    });
    expect(readAdjtimex('    return value: 5 (clock not synchronized)\n')).toEqual(NOTHING);
    expect(readAdjtimex('')).toBeUndefined();
  });
});

test('by configuration', async () => {
  const surroundings = {
    clock: systemClock,
    random: seededRandom(1),
    logger: silentLogger,
    boot: { id: 'a boot', monotonicMs: () => systemClock.monotonicMs() },
  };
  const stateFor = async (trust: Parameters<typeof trustOf>[0]['trust']): Promise<unknown> => {
    const made = trustOf({ trust, maxDriftMs: 60_000 }, surroundings);
    await made.start();
    made.stop();
    const { state, source, boot } = made.status();
    return { state, source, boot };
  };
  const boot = 'a boot';
  const file = join(folder, 'synchronized');
  expect(await stateFor('always')).toEqual({
    state: 'trusted',
    source: 'clock.trust: always',
    boot,
  });
  expect(await stateFor('never')).toEqual({ state: 'suspect', source: null, boot });
  expect(await stateFor(`file:${file}`)).toEqual({ state: 'suspect', source: null, boot });
  await writeFile(file, '');
  expect(await stateFor(`file:${file}`)).toEqual({ state: 'trusted', source: file, boot });
  expect(await stateFor('auto')).toMatchObject({ boot });
});
