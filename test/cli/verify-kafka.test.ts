import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { CliContext } from '../../src/cli/context.ts';
import { verify, type VerifyOptions } from '../../src/cli/verify.ts';
import type { AuditReport } from '../../src/mirror/audit.ts';
import { CODE } from '../../src/mirror/kafka/codes.ts';
import { systemClock } from '../../src/time.ts';
import { PLAIN_CONTEXT } from '../support/cli-context.ts';
import { answerTopics, type FakeTopic } from '../support/kafka/answered-topics.ts';

/** `gatelog verify --kafka` and the central `_gaps`, with brokers that are answers only. */
let topics: Record<string, FakeTopic> = {};

beforeEach(() => answerTopics(() => topics));
afterEach(() => {
  vi.restoreAllMocks();
});

/** 2 to 4 are not there. */
const HOLED: FakeTopic = {
  records: [0, 1, 5].map((offset) => ({ identity: `gw/abc/t/0/${offset}`, key: 'k' })),
};

function told(over: object = {}): FakeTopic {
  const entry = {
    incarnation: 'abc',
    topic: 't',
    partition: 0,
    firstOffset: 2,
    lastOffset: 4,
    records: 3,
    bytes: null,
    reason: 'retention',
    detail: 'the cap',
    mirror: null,
    from: '2026-11-26T08:00:00.000Z',
    to: '2026-11-26T08:00:00.000Z',
    ...over,
  };
  return { records: [{ identity: 'gw/abc/_gaps/0/0', key: 't/0', value: JSON.stringify(entry) }] };
}

interface Verified {
  readonly code: number;
  readonly report: AuditReport & { readonly notes: readonly string[] };
}

async function verified(options: Partial<VerifyOptions> = {}): Promise<Verified> {
  let now = 0;
  const sleep = async (ms: number): Promise<void> => {
    now += ms;
  };
  const clock = { ...systemClock, monotonicMs: () => now, sleep };
  const stdout = new PassThrough();
  const context: CliContext = { ...PLAIN_CONTEXT, stdout, clock };
  await verify(context, { kafka: 'h:1', topic: ['t'], json: true, ...options });
  return {
    code: context.exitCode,
    report: JSON.parse(String(stdout.read())) as Verified['report'],
  };
}

const DECLARED = { clean: true, records: 3, missing: 0, declaredLost: 3 };
const MISSING = { clean: false, records: 3, missing: 3, declaredLost: 0, unread: [] };

test('what the topic _gaps there declares is no fault, and _gaps is not judged unasked', async () => {
  topics = { t: HOLED, _gaps: told() };
  const { code, report } = await verified();
  expect(report).toMatchObject(DECLARED);
  expect(report.sources).toHaveLength(1);
  expect(code).toBe(0);
});

test('under another name it is read when it is named', async () => {
  topics = { t: HOLED, 'gw._gaps': told() };
  expect((await verified()).report).toMatchObject(MISSING);
  const { report } = await verified({ topic: ['t', 'gw._gaps'] });
  expect(report).toMatchObject({ ...DECLARED, records: 4 });
});

test.each([
  ['is not there', undefined, /Kafka has no topic '_gaps'/u],
  ['may not be read', { ...told(), code: CODE.topicAuthorizationFailed }, /grant READ/u],
  ['is held back', { ...told(), isHeldBack: true }, /neither committed nor aborted/u],
])('where it %s a gap is an error, and the report says so', async (_, gaps, text) => {
  topics = { t: HOLED, ...(gaps === undefined ? {} : { _gaps: gaps }) };
  const { code, report } = await verified();
  expect(report).toMatchObject(MISSING);
  expect(code).toBe(1);
  expect(report.notes).toContainEqual(expect.stringMatching(text));
  expect(report.notes).toContainEqual(expect.stringContaining('about 2 minutes'));
});

test('a topic that was asked for must be there', async () => {
  topics = { t: HOLED };
  await expect(verified({ topic: ['t', '_gaps'] })).rejects.toThrow(/Kafka has no topic '_gaps'/u);
});

test('what is lost for one mirror counts when that mirror is named', async () => {
  topics = { t: HOLED, _gaps: told({ mirror: 'up' }) };
  const { report } = await verified();
  expect(report).toMatchObject(MISSING);
  expect(report.notes).toContainEqual(expect.stringContaining('one mirror only (up)'));
  expect((await verified({ mirror: 'up' })).report).toMatchObject(DECLARED);
});
