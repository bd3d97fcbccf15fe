import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { CliContext } from '../../src/cli/context.ts';
import { verify, type VerifyOptions } from '../../src/cli/verify.ts';
import { systemClock } from '../../src/time.ts';
import { PLAIN_CONTEXT } from '../support/cli-context.ts';
import { answerTopics, type FakeTopic } from '../support/kafka/answered-topics.ts';

/** `gatelog verify` where a gateway has several mirrors. */
let folder: string;
let topics: Record<string, FakeTopic> = {};

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'gatelog-verify-'));
  topics = { telemetry: arrived(0, 1, 2), 'site.telemetry': arrived(0, 1, 2) };
  answerTopics(() => topics);
});

function arrived(...offsets: readonly number[]): FakeTopic {
  return {
    records: offsets.map((offset) => ({ identity: `gw/abc/telemetry/0/${offset}`, key: 'k' })),
  };
}

afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true, force: true });
});

const KAFKA = 'central: { kafka: { brokers: [k:1] } }';
const SECOND =
  'cloud: { kafka: { brokers: [l:1], topic: "site.{topic}", transactionalId: x, group: x } }';
const MQTT = 'branch: { mqtt: { url: "mqtt://b" } }';

interface Said {
  readonly code: number;
  readonly lines: readonly Record<string, unknown>[];
}

async function verified(
  mirrors: readonly string[],
  options: Partial<VerifyOptions> = {},
): Promise<Said> {
  const config = path.join(folder, 'gatelog.yaml');
  writeFileSync(config, `gateway: gw\ndata: ${folder}/none\nmirrors: { ${mirrors.join(', ')} }\n`);
  const stdout = new PassThrough();
  let now = 0;
  const sleep = async (ms: number): Promise<void> => {
    now += ms;
  };
  const clock = { ...systemClock, monotonicMs: () => now, sleep };
  const context: CliContext = { ...PLAIN_CONTEXT, stdout, clock };
  await verify(context, { config, json: true, ...options });
  const text = String(stdout.read() ?? '');
  const lines = text.split('\n').filter((line) => line !== '');
  return {
    code: context.exitCode,
    lines: lines.map((line) => JSON.parse(line) as Record<string, unknown>),
  };
}

test('each mirror to Kafka has its own result; one to an MQTT broker is named as not verified', async () => {
  const { code, lines } = await verified([KAFKA, MQTT, SECOND]);
  expect(lines).toMatchObject([
    { mirror: 'central', clean: true, records: 3 },
    { mirror: 'cloud', clean: true, records: 3 },
    { mirror: 'branch', notVerified: { code: 'NOT_READABLE' } },
  ]);
  expect(code).toBe(0);
});

const GONE = { code: 'UPSTREAM_TOPIC_MISSING' };

test.each([
  ['is not clean', arrived(0, 2), { mirror: 'central', clean: false, missing: 1 }],
  ['cannot be read', undefined, { mirror: 'central', notVerified: GONE }],
])(
  'one that %s keeps the others from nothing, and the exit code says so',
  async (_, found, line) => {
    const { 'site.telemetry': other = arrived() } = topics;
    topics = { ...(found === undefined ? {} : { telemetry: found }), 'site.telemetry': other };
    const { code, lines } = await verified([KAFKA, SECOND]);
    expect(lines).toMatchObject([line, { mirror: 'cloud', clean: true }]);
    expect(code).toBe(1);
  },
);

test('the only one that cannot be read is an error, with its own code', async () => {
  topics = {};
  await expect(verified([KAFKA])).rejects.toMatchObject(GONE);
  await expect(verified([KAFKA, SECOND], { mirror: 'central' })).rejects.toMatchObject(GONE);
});

test('of several over MQTT, the one that sends to a --log must be named', async () => {
  const second = 'other: { mqtt: { url: "mqtt://c" } }';
  await expect(verified([KAFKA, MQTT, second], { log: 'centre' })).rejects.toThrow(
    /several mirrors send over MQTT \(branch, other\): name the one that sends to centre with --mirror/u,
  );
});
