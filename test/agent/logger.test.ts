import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';
import { type AdjustableLogger, createLogger, type LineFormat } from '../../src/agent/logger.ts';
import { LOG_LIMITS } from '../../src/log-limits.ts';
import { SimClock } from '../support/sim-clock.ts';

/** What the log is, in a format, after somebody wrote into it. */
async function logged(
  format: LineFormat,
  write: (logger: AdjustableLogger, clock: SimClock) => Promise<void> | void,
): Promise<string> {
  const folder = mkdtempSync(path.join(tmpdir(), 'gatelog-logger-'));
  const file = path.join(folder, 'log');
  const fd = openSync(file, 'w');
  const clock = new SimClock();
  const bindings = { gateway: 'gw-1' };
  const logger = await createLogger({
    level: 'info',
    format,
    colour: false,
    fd,
    bindings,
    clock,
  });
  await write(logger, clock);
  closeSync(fd);
  const text = readFileSync(file, 'utf8');
  rmSync(folder, { recursive: true });
  return text;
}

test.each(['pretty', 'json', 'journal'] as const)(
  'what a device chose plays no tricks on who reads the log (%s)',
  async (format) => {
    const text = await logged(format, (logger) => {
      logger.warn({ topic: 'a\u001B[2J\nb\u009Bc\u202Ed' }, 'first\u001B[2J\u009B\nsecond');
    });
    expect(text).toContain('first\\u001b[2J\\u009b');
    expect(text).toContain('second');
    // oxlint-disable-next-line no-control-regex -- there is to be none
    expect(text).not.toMatch(/[\u0000-\u0009\u000B-\u001F\u007F-\u009F\u202A-\u202E]/u);
  },
);

test('a JSON line is read back as it was, also with what is escaped', async () => {
  const text = await logged('json', (logger) => logger.info({ event: 'a.b', x: '\u009B' }, 'say'));
  expect(JSON.parse(text)).toMatchObject({
    level: 'info',
    gateway: 'gw-1',
    x: '\u009B',
    msg: 'say',
  });
});

test('for the journal each line has its priority, the text first, and fields behind it', async () => {
  const text = await logged('journal', (logger) => {
    logger.info({ event: 'agent.ready', pid: 7 }, 'ready');
    logger.child({ mirror: 'central' }).warn({}, 'one\ntwo');
    logger.error({}, 'bad');
    logger.debug({}, 'not at this level');
  });
  expect(text).toBe(
    '<6>ready {"event":"agent.ready","pid":7}\n' +
      '<4>one {"mirror":"central"}\n<4>two\n' +
      '<3>bad\n',
  );
});

test('what says the same again and again is counted, and told when the minute is over', async () => {
  const text = await logged('journal', async (logger, clock) => {
    for (let at = 0; at < 422; at++) logger.warn({ event: 'a.b', at }, 'it fails');
    logger.warn({ event: 'a.b' }, 'another');
    await clock.advance(LOG_LIMITS.windowMs);
    logger.warn({ event: 'a.b' }, 'it fails');
  });
  const lines = text.split('\n');
  expect(lines.slice(9)).toEqual([
    '<4>it fails {"event":"a.b","at":9}',
    '<4>another {"event":"a.b"}',
    '<4>it fails (412 more times in 60 s) {"event":"a.b","at":421,"repeated":412}',
    '<4>it fails {"event":"a.b"}',
    '',
  ]);
});

test('lines of one event are bounded, whatever they say, and those of others are not', async () => {
  const text = await logged('journal', (logger) => {
    for (let at = 0; at < LOG_LIMITS.eventLines + 300; at++) {
      logger.info({ event: 'a.b' }, `line ${at}`);
    }
    logger.info({ event: 'c.d' }, 'other');
    logger.tellRepeats();
    logger.tellRepeats();
  });
  const lines = text.trimEnd().split('\n');
  expect(lines).toHaveLength(LOG_LIMITS.eventLines + 2);
  expect(lines.at(-1)).toBe(
    '<6>300 more lines of a.b in 60 s, the last: line 899 {"event":"a.b","repeated":300}',
  );
});
