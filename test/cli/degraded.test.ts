import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { EventBook } from '../../src/admin/event-book.ts';
import type { Agent } from '../../src/agent/agent-types.ts';
import { NO_HTTP } from '../../src/agent/config-http.ts';
import { defaultConfig } from '../../src/agent/config.ts';
import { LiveAgent } from '../../src/agent/live-agent.ts';
import { consume } from '../../src/cli/consume.ts';
import type { CliContext } from '../../src/cli/context.ts';
import { gatherFacts } from '../../src/cli/doctor-facts.ts';
import { listGaps } from '../../src/cli/gaps.ts';
import { listTopics } from '../../src/cli/topics.ts';
import { GatelogError, type ErrorCode } from '../../src/errors.ts';
import { seededRandom } from '../../src/random.ts';
import { openStore } from '../../src/store/open.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import { listenAt } from '../support/listen.ts';
import { append, FOREVER } from '../support/store-kit.ts';

/** Commands beside an agent that serves without its log. */
const surroundings = {
  clock: systemClock,
  random: seededRandom(1),
  logger: silentLogger,
  version: 'test',
};
let data: string;
let agent: Agent | undefined;

beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'gatelog-degraded-'));
  const store = await openStore({ ...surroundings, folder: data, gateway: 'gw' });
  const topic = store.writer.defineTopic('t', { ...FOREVER, partitions: 1 });
  for (const stream of topic.streams) await append(store, stream, { value: Buffer.from('x') });
  await store.close();
});
afterEach(async () => {
  await agent?.stop();
  await rm(data, { recursive: true, force: true });
});

async function serveWithout(code: ErrorCode): Promise<void> {
  const config = defaultConfig({ env: {}, workingFolder: data });
  const reason = new GatelogError(code, 'so it is');
  agent = await LiveAgent.start(
    {
      ...config,
      data,
      mqtt: { ...config.mqtt, listen: [listenAt('mqtt://127.0.0.1:0')] },
      http: NO_HTTP,
    },
    { ...surroundings, events: new EventBook(surroundings.clock) },
    reason,
    () => Promise.reject(reason),
  );
}

/** What a command says, on both ways out. */
async function said(
  command: (context: CliContext) => Promise<void>,
): Promise<{ out: string; err: string }> {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  await command({
    ...surroundings,
    stdout,
    stderr,
    env: {},
    workingFolder: data,
    exitCode: 0,
  });
  const text = (stream: PassThrough): string => String(stream.read() ?? '');
  return { out: text(stdout), err: text(stderr) };
}

const ALL = { topic: 't', from: 'beginning', follow: false, json: true } as const;

test('what it can’t write can be read without it, and that is said', async () => {
  await serveWithout('STORE_READ_ONLY');
  const json = { data, json: true };
  const topics = await said((context) => listTopics(context, json));
  expect(topics.err).toMatch(/^gatelog: warning: the agent serves without its log .* itself\n$/u);
  expect(JSON.parse(topics.out)).toMatchObject({ name: 't', records: 1 });
  const records = await said((context) => consume(context, { ...ALL, data }));
  expect(records.err).toBe(topics.err);
  expect(JSON.parse(records.out)).toMatchObject({ offset: 0, value: 'x' });
  expect((await said((context) => listGaps(context, json))).err).toBe(topics.err);
  await expect(said((context) => consume(context, { ...ALL, data, follow: true }))).rejects.toThrow(
    "the agent serves without its log and can't tell what is stored or lost: so it is",
  );
  const { state, losses, agent: told } = await gatherFacts(data);
  expect(told?.degraded).toBe('so it is');
  expect(state).toMatchObject({ trouble: undefined, identity: { gateway: 'gw' } });
  expect(losses?.corruption.records).toBe(0);
});

test('a disk that does not read is not asked again', async () => {
  await serveWithout('STORE_FAILING');
  for (const command of [listTopics, listGaps]) {
    await expect(said((context) => command(context, { data, json: false }))).rejects.toMatchObject({
      code: 'STORE_FAILING',
    });
  }
});
