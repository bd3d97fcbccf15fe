import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { request as httpRequest } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ControlClient } from '../../src/admin/control-client.ts';
import { startControlServer } from '../../src/admin/control-server.ts';
import type { ControlServer } from '../../src/admin/control-server.ts';
import type { SteeredMirror } from '../../src/admin/operations.ts';
import type { AgentStatus } from '../../src/admin/status.ts';
import { must } from '../../src/assert.ts';
import { GatelogError } from '../../src/errors.ts';
import { MemoryLog } from '../support/memory-log.ts';
import { rememberingLogger } from '../support/store-kit.ts';

const STATUS = { gateway: 'gw', topics: [{ name: 'telemetry' }] } as unknown as AgentStatus;
const WHOLE = {
  topic: 'telemetry',
  partition: undefined,
  from: 'beginning',
  follow: false,
  limit: undefined,
} as const;

const PATIENT = { timeout: 30_000, interval: 50 };

const NEVER = new AbortController().signal;

let folder: string;
let log: MemoryLog;
let server: ControlServer | undefined;
let asked: unknown[];
let logger: ReturnType<typeof rememberingLogger>;

const mirror: SteeredMirror = {
  pause: async (topic) => void asked.push(['pause', topic]),
  resume: async (topic) => {
    asked.push(['resume', topic]);
    return { pausedTopics: ['t'], isMirrorPaused: false };
  },
  seek: async (seek) => {
    asked.push(['seek', seek]);
    if (seek.topic === 'none') throw new GatelogError('NOT_FOUND', 'no such topic');
    return [{ topic: seek.topic, partition: 0, offset: 5 }];
  },
  skip: async (skip) => {
    asked.push(['skip', skip]);
    return { topic: skip.topic, partition: 0, fromOffset: 5, toOffset: 6 };
  },
};

async function start(dataFolder: string): Promise<ControlServer> {
  server = await startControlServer({
    dataFolder,
    reader: log.reader,
    ledger: log.ledger,
    mirrors: new Map([['central', mirror]]),
    reload: () => Promise.resolve({ at: '', refused: null, applied: [], needsRestart: [] }),
    forgetMirror: async (name) => void asked.push(['forget', name]),
    exportMirror: () => Promise.reject(new GatelogError('NOT_FOUND', 'no such mirror')),
    status: () => Promise.resolve(STATUS),
    clients: () => ({ total: 0, clients: [] }),
    logger,
  });
  return server;
}

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'gatelog-control-'));
  log = new MemoryLog();
  const { streams } = log.topic('telemetry', 2);
  for (const stream of streams) for (const text of ['a', 'b']) log.add(stream, text);
  asked = [];
  logger = rememberingLogger();
});
afterEach(async () => {
  await server?.stop();
  server = undefined;
  rmSync(folder, { recursive: true, force: true });
});

async function textOf(blocks: AsyncGenerator<string>): Promise<string> {
  let text = '';
  for await (const block of blocks) text += block;
  return text;
}

function ask(method: string, url: string, body?: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const socketPath = path.join(folder, 'agent.sock');
    const sent = httpRequest({ socketPath, method, path: url }, resolve);
    sent.once('error', reject);
    sent.end(body);
  });
}

async function bodyOf(response: IncomingMessage): Promise<unknown> {
  const parts: Buffer[] = [];
  for await (const part of response as AsyncIterable<Buffer>) parts.push(part);
  return JSON.parse(Buffer.concat(parts).toString('utf8'));
}

describe('the socket', () => {
  test('is for its owner only, and gone when the agent is', async () => {
    const running = await start(folder);
    const file = path.join(folder, 'agent.sock');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(statSync(file).isSocket()).toBe(true);
    await running.stop();
    await running.stop();
    expect(() => statSync(file)).toThrow('ENOENT');
  });

  test('takes the place of one that is there: the lock says that it is nobody’s', async () => {
    const left = createServer();
    await new Promise<void>((resolve) => {
      left.listen(path.join(folder, 'agent.sock'), resolve);
    });
    await start(folder);
    expect(await new ControlClient(folder).status()).toEqual(STATUS);
    left.close();
  });

  test('does not take the place of anything else', async () => {
    const file = path.join(folder, 'agent.sock');
    writeFileSync(file, 'mine');
    await expect(start(folder)).rejects.toMatchObject({
      code: 'LISTEN_FAILED',
      message: `${file} is in the way of the control socket: remove it`,
    });
    expect(statSync(file).size).toBe(4);
  });

  test('works in a folder whose path is too long for a socket', async () => {
    const deep = path.join(folder, 'x'.repeat(60), 'y'.repeat(60));
    mkdirSync(deep, { recursive: true });
    const running = await start(deep);
    expect(statSync(path.join(deep, 'agent.sock')).mode & 0o777).toBe(0o600);
    expect(await new ControlClient(deep).status()).toEqual(STATUS);
    expect(await textOf(await new ControlClient(deep).consume(WHOLE, 'beginning', NEVER))).not.toBe(
      '',
    );
    await running.stop();
    expect(() => statSync(path.join(deep, 'agent.sock'))).toThrow('ENOENT');
  });

  test('says when nobody listens', async () => {
    const message = `no agent is running on ${folder}; start one with gatelog run --data ${folder}`;
    const refusal = { code: 'AGENT_NOT_RUNNING', message };
    await expect(new ControlClient(folder).status()).rejects.toMatchObject(refusal);
    await expect(new ControlClient(folder).consume(WHOLE, 'end', NEVER)).rejects.toMatchObject(
      refusal,
    );
  });
});

describe('requests', () => {
  beforeEach(() => start(folder));

  test('status and topics', async () => {
    expect(await new ControlClient(folder).status()).toEqual(STATUS);
    expect(await bodyOf(await ask('GET', '/topics'))).toEqual(STATUS.topics);
  });

  test('consume gives lines as the log has them', async () => {
    const text = await textOf(await new ControlClient(folder).consume(WHOLE, 'beginning', NEVER));
    expect(text.trimEnd().split('\n')).toHaveLength(4);
    const one = { ...WHOLE, partition: 1, limit: 1 };
    const lines = await textOf(await new ControlClient(folder).consume(one, '1', NEVER));
    expect(JSON.parse(lines)).toMatchObject({ partition: 1, offset: 1, value: 'b' });
  });

  test('consume follows, and ends with an error when the agent stops', async () => {
    const request = { ...WHOLE, follow: true };
    const blocks = await new ControlClient(folder).consume(request, 'beginning', NEVER);
    const first = await blocks.next();
    expect(String(first.value).trimEnd().split('\n')).toHaveLength(4);
    log.add(must(log.reader.topic('telemetry')?.streams[0], 'defined above'), 'c');
    const second = await blocks.next();
    expect(JSON.parse(String(second.value))).toMatchObject({ partition: 0, offset: 2, value: 'c' });
    const third = blocks.next();
    await server?.stop();
    await expect(third).rejects.toMatchObject({
      code: 'AGENT_NOT_RUNNING',
      message: 'the agent stopped while we were reading',
    });
  });

  test('consume says why the log can not be read on, and does not take it for the agent’s end', async () => {
    const cursor = log.reader.cursor.bind(log.reader);
    log.reader.cursor = (from) => {
      const inner = cursor(from);
      let reads = 0;
      const next: typeof inner.next = async (limits) => {
        if (reads++ === 0) return inner.next({ ...limits, maxRecords: 1 });
        throw new GatelogError('STORE_FAILING', 'the disk does not answer');
      };
      return { next, wait: (signal) => inner.wait(signal), close: () => inner.close() };
    };
    const blocks = await new ControlClient(folder).consume(WHOLE, 'beginning', NEVER);
    const read = async (): Promise<{ text: string; error: unknown }> => {
      let text = '';
      try {
        for await (const block of blocks) text += block;
      } catch (error) {
        return { text, error };
      }
      return { text, error: undefined };
    };
    const { text, error } = await read();
    expect(error).toMatchObject({ code: 'STORE_FAILING', message: 'the disk does not answer' });
    expect(text.trimEnd().split('\n')).toHaveLength(1);
  });

  test('following ends when the reader aborts, on both ends', async () => {
    const controller = new AbortController();
    const request = { ...WHOLE, follow: true };
    const client = new ControlClient(folder);
    const blocks = await client.consume(request, 'end', controller.signal);
    const next = blocks.next();
    controller.abort();
    expect(await next).toEqual({ done: true, value: undefined });
    // The server waits for no reader that is gone: stopping would hang otherwise.
    await server?.stop();
  });

  test('a reader that takes nothing is not read ahead for', async () => {
    const stream = must(log.reader.topic('telemetry')?.streams[0], 'defined above');
    const large = 'x'.repeat(200_000);
    for (let count = 0; count < 100; count++) log.add(stream, large);
    let reads = 0;
    const { reader } = log;
    const inner = reader.cursor(new Map([[stream, 0]]));
    reader.cursor = () => {
      return {
        ...inner,
        next: (limits) => {
          reads++;
          return inner.next(limits);
        },
      };
    };
    const response = await ask('GET', '/consume?topic=telemetry');
    response.pause();
    await expect.poll(() => reads, PATIENT).toBeGreaterThan(0);
    let before = -1;
    await expect
      .poll(() => {
        const still = reads === before;
        before = reads;
        return still;
      }, PATIENT)
      .toBe(true);
    expect(reads).toBeLessThan(20);
    response.destroy();
  });

  test('mirrors are steered', async () => {
    const client = new ControlClient(folder);
    await client.steer('central', 'pause', { topic: 'telemetry' });
    expect(logger.lines).toMatchObject([
      {
        level: 'info',
        fields: { event: 'admin', mirror: 'central', action: 'pause', topic: 'telemetry' },
        message: 'a person asked: mirror pause central',
      },
    ]);
    const resumed = await client.steer('central', 'resume', {});
    expect(resumed).toEqual({ pausedTopics: ['t'], isMirrorPaused: false });
    const to = '2026-11-22T08:00:00Z';
    const seeks = await client.steer('central', 'seek', { topic: 'telemetry', partition: 1, to });
    expect(seeks).toEqual([{ topic: 'telemetry', partition: 0, offset: 5 }]);
    const skip = await client.steer('central', 'skip', { topic: 'telemetry', count: 2 });
    expect(skip).toMatchObject({ fromOffset: 5, toOffset: 6 });
    expect(asked.pop()).toEqual(['skip', { topic: 'telemetry', partition: undefined, count: 2 }]);
    await client.steer('gone', 'forget', {});
    expect(asked.pop()).toEqual(['forget', 'gone']);
    expect(asked).toEqual([
      ['pause', 'telemetry'],
      ['resume', undefined],
      [
        'seek',
        {
          topic: 'telemetry',
          partition: 1,
          to: { timestampMs: Date.UTC(2026, 10, 22, 8) },
        },
      ],
    ]);
  });

  test.each([
    ['GET', '/nothing', '', 404, 'NOT_FOUND', 'the agent knows no GET /nothing'],
    ['POST', '/status', '', 404, 'NOT_FOUND', 'the agent knows no POST /status'],
    ['POST', '/mirrors/central/explode', '', 404, 'NOT_FOUND', 'the agent knows no'],
    ['POST', '/mirrors/centrl/pause', '', 404, 'NOT_FOUND', 'did you mean "central"'],
    ['POST', '/mirrors/central/seek', '{"topic":"none","to":"end"}', 404, 'NOT_FOUND', 'no such'],
    ['POST', '/mirrors/central/seek', '{"topic":"t"}', 400, 'USAGE', 'seek needs a topic'],
    ['POST', '/mirrors/central/seek', '{"to":"end"}', 400, 'USAGE', 'seek needs a topic'],
    ['POST', '/mirrors/central/skip', '{"count":1}', 400, 'USAGE', 'skip needs a topic'],
    ['POST', '/mirrors/central/pause', 'nonsense', 400, 'USAGE', 'the request is not JSON'],
    ['POST', '/mirrors/central/pause', 'x'.repeat(70_000), 400, 'USAGE', 'is too large'],
    ['GET', '/consume?topic=none', '', 404, 'NOT_FOUND', 'there is no topic "none"'],
    ['GET', '/consume?topic=telemetry&from=later', '', 400, 'USAGE', 'from: expected beginning'],
    ['GET', '/consume?topic=telemetry&limit=x', '', 400, 'USAGE', 'limit: expected a whole number'],
    ['GET', '/consume?topic=telemetry&partition=9', '', 404, 'NOT_FOUND', 'has partitions 0 to 1'],
  ])('%s %s is refused', async (method, url, body, status, code, message) => {
    const response = await ask(method, url, body);
    expect(response.statusCode).toBe(status);
    const refusal = await bodyOf(response);
    expect(refusal).toMatchObject({ code });
    expect((refusal as { message: string }).message).toContain(message);
    expect(asked.filter((call) => Array.isArray(call) && call[0] !== 'seek')).toEqual([]);
  });
});
