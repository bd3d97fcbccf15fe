import { connect } from 'node:net';
import { once } from 'node:events';
import { afterEach, describe, expect, test } from 'vitest';
import type { Problem } from '../../src/admin/http-problem.ts';
import type { AgentStatus } from '../../src/admin/status.ts';
import { GatelogError } from '../../src/errors.ts';
import { HTTP_LIMITS } from '../../src/http-limits.ts';
import { blocksOf } from '../support/docs/blocks.ts';
import { ADMIN_TOKEN, HttpRig, type HttpRigOptions, READ_TOKEN } from '../support/http-rig.ts';
import { SimClock } from '../support/sim-clock.ts';
import { EventReader } from '../support/event-reader.ts';

/** What the HTTP side answers, over a real socket and a log in memory. */
let rig: HttpRig | undefined;
afterEach(async () => {
  await rig?.close();
  rig = undefined;
});

async function open(options: HttpRigOptions = {}): Promise<HttpRig> {
  rig = await HttpRig.open(options);
  return rig;
}

const ADMIN = { authorization: `Bearer ${ADMIN_TOKEN}` };
const WITH_ADMIN = { config: { adminToken: ADMIN_TOKEN } };

async function problemIn(response: Response): Promise<Problem> {
  expect(response.headers.get('content-type')).toMatch(/^application\/problem\+json/u);
  const problem = (await response.json()) as Problem;
  expect(problem).toEqual({
    type: 'about:blank',
    title: expect.any(String),
    status: response.status,
    detail: expect.any(String),
    code: expect.any(String),
  });
  expect(problem.title).not.toBe('Error');
  return problem;
}

test('who only looks need not take an answer', async () => {
  const here = await open();
  here.log.topic('telemetry');
  const looked = ['/healthz', '/readyz', '/', '/api/v1/status', '/api/v1/topics/telemetry'];
  for (const path of looked) {
    const response = await fetch(`${here.url}${path}`, { method: 'HEAD' });
    expect([response.status, await response.text()]).toEqual([200, '']);
  }
});

test('another method than a path has is told from a path that there is not', async () => {
  const here = await open();
  const asked = async (method: string, path: string): Promise<Response> =>
    fetch(`${here.url}${path}`, { method });
  const refused = await asked('DELETE', '/api/v1/topics/telemetry');
  expect(refused.headers.get('allow')).toBe('GET, HEAD');
  expect(await problemIn(refused)).toMatchObject({
    status: 405,
    code: 'WRONG_METHOD',
    detail: '/api/v1/topics/telemetry takes GET, HEAD, not DELETE',
  });
  // What has no end, or a long one, has no head without it.
  for (const path of ['/api/v1/events', '/api/v1/gaps', '/api/v1/topics/telemetry/records']) {
    const head = await asked('HEAD', path);
    expect([head.status, head.headers.get('allow')]).toEqual([405, 'GET']);
  }
  for (const path of ['/api/v1/topics/', '/api/v1/topicz', '/api/v1/topics/a/b/c']) {
    expect((await problemIn(await asked('POST', path))).code).toBe('NO_SUCH_PATH');
  }
});

describe('figures', () => {
  test('the status, topics, mirrors and clients', async () => {
    const here = await open();
    here.log.topic('telemetry');
    const got = async (path: string): Promise<unknown> => (await here.get(path)).json();
    expect(await got('/api/v1/status')).toMatchObject({ gateway: 'gw' });
    expect(await got('/api/v1/topics')).toEqual({ topics: [{ name: 'telemetry' }] });
    expect(await got('/api/v1/topics/telemetry')).toEqual({ name: 'telemetry' });
    expect(await got('/api/v1/mirrors')).toEqual({ mirrors: [{ name: 'central' }] });
    expect(await got('/api/v1/mirrors/central')).toEqual({ name: 'central' });
    expect(await got('/api/v1/clients')).toEqual({ total: 0, clients: [] });
  });

  test('a name that is not there is said, with what it may have been', async () => {
    const here = await open();
    const { code, detail } = await problemIn(await here.get('/api/v1/mirrors/centrl'));
    expect(code).toBe('NOT_FOUND');
    expect(detail).toContain('central');
  });

  test('no answer is kept or shown elsewhere', async () => {
    const here = await open();
    for (const path of ['/api/v1/status', '/nowhere', '/%zz', '/healthz']) {
      const { headers } = await here.get(path);
      expect(Object.fromEntries(headers)).toMatchObject({
        'cache-control': 'no-store',
        'content-security-policy': expect.stringContaining("default-src 'none'"),
        'x-content-type-options': 'nosniff',
        'cross-origin-resource-policy': 'same-origin',
      });
      expect(headers.get('access-control-allow-origin')).toBeNull();
    }
  });

  test('without a log the status is there, and what needs a log says why not', async () => {
    const unavailable = (): GatelogError => new GatelogError('STORE_FULL', 'no space is left');
    const status = { degraded: 'no space is left', ingest: {}, store: null, topics: [] };
    const here = await open({
      unavailable,
      status: () => Promise.resolve(status as unknown as AgentStatus),
    });
    expect((await here.get('/api/v1/status')).status).toBe(200);
    const { status: code, detail } = await problemIn(await here.get('/api/v1/topics'));
    expect(code).toBe(503);
    expect(detail).toContain('no space is left');
    expect((await here.get('/healthz')).status).toBe(200);
    const ready = await here.get('/readyz');
    expect(ready.status).toBe(503);
    expect(await ready.json()).toEqual({ status: 'unready', reasons: ['no-log'] });
  });

  test('what went wrong inside is for the log, not for the one who asked', async () => {
    const here = await open({ status: () => Promise.reject(new Error('a secret at line 3')) });
    const { status, code, detail } = await problemIn(await here.get('/api/v1/status'));
    expect([status, code]).toEqual([500, 'INTERNAL']);
    expect(detail).not.toContain('secret');
    expect(here.logger.lines.find(({ level }) => level === 'error')?.message).toContain('secret');
  });
});

describe('records', () => {
  async function filled(): Promise<HttpRig> {
    const here = await open();
    const { streams } = here.log.topic('telemetry', 2);
    for (const stream of streams) {
      for (let at = 0; at < 150; at++) here.log.add(stream, `v${at}`, at * 1000);
    }
    return here;
  }

  const offsetsIn = (text: string): number[] =>
    text
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { offset: number }).offset);

  test('from an offset or a time on, of one partition, so many', async () => {
    const here = await filled();
    const text = async (query: string): Promise<string> => {
      const response = await here.get(`/api/v1/topics/telemetry/records?partition=1&${query}`);
      expect(response.headers.get('content-type')).toBe('application/x-ndjson');
      return response.text();
    };
    expect(offsetsIn(await text('from=140&limit=3'))).toEqual([140, 141, 142]);
    expect(offsetsIn(await text('from=1970-01-01T00:02:00Z&limit=2'))).toEqual([120, 121]);
    expect(offsetsIn(await text(''))).toHaveLength(HTTP_LIMITS.recordsDefault);
    expect(await text('from=end')).toBe('');
  });

  test.each([
    ['limit=x', 'querystring/limit must be integer'],
    ['limit=-1', 'querystring/limit must be integer'],
    ['limit=1&limit=2', 'querystring/limit must be integer'],
    ['partition=', 'querystring/partition must be integer'],
    ['follow=yes', 'querystring/follow must be boolean'],
    ['from=yesterday', 'from: expected'],
    ['form=1', 'must NOT have additional properties'],
    ['__proto__=1', 'must NOT have additional properties'],
  ])('a question that can’t be understood (%s) is refused whole', async (query, words) => {
    const here = await filled();
    const problem = await problemIn(await here.get(`/api/v1/topics/telemetry/records?${query}`));
    expect([problem.status, problem.code]).toEqual([400, 'USAGE']);
    expect(problem.detail).toContain(words);
  });

  test('of a topic or a partition that is not there', async () => {
    const here = await filled();
    const problem = await problemIn(await here.get('/api/v1/topics/telemetry/records?partition=7'));
    expect(problem).toMatchObject({ status: 404, code: 'NOT_FOUND' });
    const shown = blocksOf('docs/http.md').find(({ language }) => language === 'json');
    for (const path of ['telemetri', 'telemetri/records']) {
      const other = await problemIn(await here.get(`/api/v1/topics/${path}`));
      expect(other).toEqual(JSON.parse(shown?.text ?? ''));
    }
    const strange = await problemIn(await here.get('/api/v1/topics/..%2F..%2Fetc/records'));
    expect(strange.status).toBe(404);
  });

  test('are followed, and a line says when reading broke off', async () => {
    const here = await filled();
    const response = await here.get('/api/v1/topics/telemetry/records?from=end&follow=true');
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    const [stream] = here.log.topic('telemetry', 2).streams;
    if (stream === undefined || reader === undefined) throw new Error('there is one');
    here.log.add(stream, 'new');
    expect(JSON.parse((await reader.read()).value ?? '')).toMatchObject({ value: 'new' });
    here.log.failReads = new GatelogError('STORE_FAILING', 'the disk does not answer');
    here.log.add(stream, 'more');
    expect(JSON.parse((await reader.read()).value ?? '')).toEqual({
      brokenOff: { code: 'STORE_FAILING', message: 'the disk does not answer' },
    });
    expect((await reader.read()).done).toBe(true);
  });

  test('are given to so many at once, and the end of one makes room', async () => {
    const here = await filled();
    const path = '/api/v1/topics/telemetry/records?from=end&follow=true';
    const gone = new AbortController();
    const reading: Response[] = [];
    for (let at = 0; at < HTTP_LIMITS.recordReaders; at++) {
      reading.push(await fetch(`${here.url}${path}`, { signal: gone.signal }));
    }
    const one = await here.get(path);
    expect(one.headers.get('retry-after')).toBe('5');
    expect(await problemIn(one)).toMatchObject({ status: 503, code: 'TOO_MANY' });
    expect(reading.every(({ status }) => status === 200)).toBe(true);
    gone.abort();
    await expect.poll(async () => (await here.get('/api/v1/gaps')).status).toBe(200);
  });

  test('that nobody takes end after a while, so that others come to read', async () => {
    const clock = new SimClock();
    const here = await open({ clock });
    const [stream] = here.log.topic('telemetry').streams;
    if (stream === undefined) throw new Error('there is one');
    for (let at = 0; at < 300; at++) here.log.add(stream, 'x'.repeat(100_000));
    const gone = new AbortController();
    const follow = `${here.url}/api/v1/topics/telemetry/records?from=end&follow=true`;
    // Held, for fetch cancels what nobody holds.
    const others: Response[] = [];
    for (let at = 1; at < HTTP_LIMITS.recordReaders; at++) {
      others.push(await fetch(follow, { signal: gone.signal }));
    }
    const socket = connect(here.port, '127.0.0.1');
    socket.pause();
    const path = '/api/v1/topics/telemetry/records?limit=300';
    socket.write(`GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
    const gaps = async (): Promise<number> => (await here.get('/api/v1/gaps')).status;
    // More than the system takes for it: the rest waits, and so does who comes next.
    await expect.poll(gaps).toBe(503);
    await expect
      .poll(async () => {
        await clock.advance(HTTP_LIMITS.slowReaderMs);
        return gaps();
      })
      .toBe(200);
    socket.destroy();
    expect(others.every(({ status }) => status === 200)).toBe(true);
    gone.abort();
  });

  test('need a token where devices need a name', async () => {
    const here = await open({ recordsAreOpen: false, config: { adminToken: ADMIN_TOKEN } });
    here.log.topic('telemetry');
    const path = '/api/v1/topics/telemetry/records';
    expect(await problemIn(await here.get(path))).toMatchObject({ status: 401 });
    expect((await here.get(path, ADMIN)).status).toBe(200);
  });
});

describe('commands', () => {
  test('do what gatelog mirror does, and are noted with who asked', async () => {
    const here = await open(WITH_ADMIN);
    const at = '/api/v1/mirrors/central';
    const ask = async (action: string, body: object): Promise<number> =>
      (await here.post(`${at}/${action}`, body, ADMIN)).status;
    expect(await ask('pause', {})).toBe(200);
    expect(await ask('pause', { topic: 'a' })).toBe(200);
    expect(await ask('resume', {})).toBe(200);
    expect(await ask('seek', { topic: 'a', partition: 1, to: '17' })).toBe(200);
    expect(await ask('skip', { topic: 'a', count: 2 })).toBe(200);
    expect(await ask('forget', {})).toBe(200);
    expect(here.asked).toEqual([
      ['pause', undefined],
      ['pause', 'a'],
      ['resume', undefined],
      ['seek', { topic: 'a', partition: 1, to: 17 }],
      ['skip', { topic: 'a', partition: undefined, count: 2 }],
      ['forget', 'central'],
    ]);
    const line = here.logger.lines.find(({ fields }) => fields['event'] === 'admin');
    expect(line?.fields).toMatchObject({ mirror: 'central', action: 'pause', by: 'http' });
  });

  test.each([
    ['without a token', {}, {}, 401, 'UNAUTHENTICATED'],
    ['with a wrong one', { authorization: 'Bearer x' }, {}, 401, 'UNAUTHENTICATED'],
    ['of another site', { ...ADMIN, origin: 'http://evil.example' }, {}, 403, 'CROSS_SITE'],
    ['in a form', { ...ADMIN, 'content-type': 'text/plain' }, '{}', 415, 'UNSUPPORTED_MEDIA_TYPE'],
    ['with a body that is no JSON', ADMIN, '{x', 400, 'BAD_REQUEST'],
    ['with a body that is made to harm', ADMIN, '{"__proto__":{"x":1}}', 400, 'BAD_REQUEST'],
    ['with an empty body', ADMIN, '', 400, 'BAD_REQUEST'],
    ['with a list', ADMIN, [], 400, 'USAGE'],
    ['with something else beside', ADMIN, { topc: 'a' }, 400, 'USAGE'],
    ['with null for a name', ADMIN, { topic: null }, 400, 'USAGE'],
    ['that is too long', ADMIN, { topic: 'x'.repeat(HTTP_LIMITS.bodyBytes) }, 413, 'TOO_LARGE'],
  ])('%s nothing is done', async (_, headers, body, status, code) => {
    const here = await open(WITH_ADMIN);
    const response = await here.post('/api/v1/mirrors/central/pause', body, headers);
    expect(await problemIn(response)).toMatchObject({ status, code });
    expect(here.asked).toEqual([]);
  });

  test('are not taken where no token is configured for them, and it is said how', async () => {
    const here = await open({ config: { token: READ_TOKEN } });
    const response = await here.post('/api/v1/mirrors/central/pause', {});
    const problem = await problemIn(response);
    expect(problem).toMatchObject({ status: 403, code: 'FORBIDDEN' });
    expect(problem.detail).toContain('http.adminToken');
  });

  test('are POSTs, and a browser’s question before one gets no leave', async () => {
    const here = await open(WITH_ADMIN);
    const path = '/api/v1/mirrors/central/pause';
    expect((await here.get(path, ADMIN)).status).toBe(405);
    const asked = await fetch(`${here.url}${path}`, { method: 'OPTIONS' });
    expect([asked.status, asked.headers.get('allow')]).toEqual([405, 'POST']);
    expect([...asked.headers.keys()].some((name) => name.startsWith('access-control'))).toBe(false);
  });
});

describe('events', () => {
  test('those that are remembered, from a number on', async () => {
    const here = await open();
    here.events.note('warn', { event: 'a', mirror: 'central' }, 'one');
    here.events.note('info', { event: 'client.connected' }, 'a device');
    here.events.note('error', {}, 'two');
    const got = async (query: string): Promise<unknown> =>
      (await here.get(`/api/v1/events${query}`)).json();
    expect(await got('?after=1')).toMatchObject({ events: [{ id: 2, message: 'two' }] });
    const { events } = (await got('')) as { events: unknown[] };
    expect(events[0]).toMatchObject({ id: 1, level: 'warn', event: 'a', mirror: 'central' });
    expect(events).toHaveLength(2);
  });

  test('as they happen, with the status each second', async () => {
    const here = await open();
    here.events.note('info', { event: 'before' }, 'before');
    const events = await EventReader.open(`${here.url}/api/v1/events?after=0`);
    expect(await events.next('status')).toMatchObject({ gateway: 'gw' });
    expect(await events.next('event')).toMatchObject({ event: 'before' });
    here.events.note('info', { event: 'after' }, 'after');
    expect(await events.next('event')).toMatchObject({ event: 'after', id: 2 });
    expect(await events.next('status')).toMatchObject({ gateway: 'gw' });
    events.close();
  });

  test('are sent to so many; the end of one makes room', async () => {
    const here = await open();
    const listening: EventReader[] = [];
    for (let at = 0; at < HTTP_LIMITS.listeners; at++) {
      listening.push(await EventReader.open(`${here.url}/api/v1/events`));
    }
    const headers = { accept: 'text/event-stream' };
    const refused = await here.get('/api/v1/events', headers);
    expect(await problemIn(refused)).toMatchObject({ status: 503, code: 'TOO_MANY' });
    for (const each of listening) each.close();
    await expect
      .poll(async () => {
        const response = await here.get('/api/v1/events', headers);
        await response.body?.cancel();
        return response.status;
      })
      .toBe(200);
  });

  test('that nobody takes are not kept for them', async () => {
    const here = await open();
    const socket = connect(here.port, '127.0.0.1');
    socket.pause();
    socket.write(
      'GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n',
    );
    const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
    await expect.poll(async () => (await here.get('/healthz')).status).toBe(200);
    for (let round = 0; round < 40; round++) {
      for (let at = 0; at < 2000; at++) here.events.note('info', {}, 'x'.repeat(400));
      await turn();
    }
    // What the system took, and what we kept beside: not the 40 MB that were said.
    let bytes = 0;
    let tail = '';
    socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      tail = (tail + chunk.toString('latin1')).slice(-2000);
    });
    socket.resume();
    const heard = (): string => {
      here.events.note('info', {}, 'it goes on');
      return tail;
    };
    await expect.poll(heard).toContain('it goes on');
    expect(bytes).toBeGreaterThan(0);
    expect(bytes).toBeLessThan(20e6);
    socket.destroy();
    await once(socket, 'close');
  });
});
