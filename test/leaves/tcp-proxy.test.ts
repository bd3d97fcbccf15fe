import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { API } from '../support/kafka/frames.ts';
import { KafkaRequests } from '../support/kafka/requests.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';

/** A request as Kafka frames it; the rest of its header and its body are filler. */
function request(apiKey: number, correlationId: number, bodyBytes = 20): Buffer {
  const frame = Buffer.alloc(12 + bodyBytes, 0x61);
  frame.writeInt32BE(8 + bodyBytes, 0);
  frame.writeInt16BE(apiKey, 4);
  frame.writeInt16BE(3, 6);
  frame.writeInt32BE(correlationId, 8);
  return frame;
}

function produce(header: { readonly apiKey: number }): boolean {
  return header.apiKey === API.Produce;
}

/** Collects what a socket gets, and how it ended. */
class Ear {
  readonly socket: Socket;
  bytes = Buffer.alloc(0);
  /** `open`, `end`, or the code of an error. */
  ended = 'open';

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.bytes = Buffer.concat([this.bytes, chunk]);
    });
    socket.on('end', () => {
      this.ended = 'end';
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.ended = error.code ?? 'error';
    });
  }
}

const requests: { value: KafkaRequests } = { value: new KafkaRequests() };
let server: Server;
let accepted: Ear[];
let proxy: TcpProxy;
/** What the far side answers to each chunk. */
let answer: (chunk: Buffer) => Buffer | undefined;
const clients: Ear[] = [];

beforeEach(async () => {
  accepted = [];
  answer = () => undefined;
  server = createServer((socket) => {
    accepted.push(new Ear(socket));
    socket.on('data', (chunk: Buffer) => {
      const reply = answer(chunk);
      if (reply !== undefined) socket.write(reply);
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  requests.value = new KafkaRequests();
  proxy = await startTcpProxy({ targetPort: address.port, requests: requests.value });
});

afterEach(async () => {
  for (const { socket } of clients.splice(0)) socket.destroy();
  await proxy.close();
  for (const { socket } of accepted) socket.destroy();
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
});

function open(): Promise<Ear> {
  return new Promise((resolve, reject) => {
    const socket = connect(proxy.port, '127.0.0.1', () => resolve(ear));
    const ear = new Ear(socket);
    clients.push(ear);
    socket.once('error', reject);
  });
}

async function farSide(index = 0): Promise<Ear> {
  await expect.poll(() => accepted.length).toBeGreaterThan(index);
  const ear = accepted[index];
  if (ear === undefined) throw new Error('no connection');
  return ear;
}

/** Answers every whole request of a chunk with its correlation id. */
function answerRequests(chunk: Buffer): Buffer {
  const replies: Buffer[] = [];
  for (let at = 0; at < chunk.length; at += 4 + chunk.readInt32BE(at)) {
    const reply = Buffer.alloc(16, 0x62);
    reply.writeInt32BE(12, 0);
    chunk.copy(reply, 4, at + 8, at + 12);
    replies.push(reply);
  }
  return Buffer.concat(replies);
}

describe('the fault proxy carries bytes', () => {
  it('forwards both ways, and the end of either side', async () => {
    answer = (chunk) => chunk;
    const client = await open();
    const sent = request(API.Metadata, 1, 300_000);
    client.socket.write(sent);
    await expect.poll(() => client.bytes.equals(sent)).toBe(true);
    client.socket.end();
    await expect.poll(() => client.ended).toBe('end');
    await expect.poll(() => proxy.connections).toBe(0);
  });

  it('holds back bytes by latency and bandwidth and loses none', async () => {
    answer = (chunk) => chunk;
    proxy.setShape({ latencyMs: 40, bytesPerSecond: 200_000 });
    const client = await open();
    const sent = request(API.Metadata, 1, 20_000);
    const begun = performance.now();
    client.socket.write(sent);
    await expect.poll(() => client.bytes.equals(sent), { timeout: 10_000 }).toBe(true);
    // A lower bound only: 100 ms of line and 40 ms of way, there and back.
    expect(performance.now() - begun).toBeGreaterThan(270);
  });
});

describe('the fault proxy breaks links', () => {
  it('refuse: resets what is open, lets nobody in, and opens again on the same port', async () => {
    const client = await open();
    const far = await farSide();
    const { port } = proxy;
    await proxy.setMode('refuse');
    await expect.poll(() => client.ended).toBe('ECONNRESET');
    await expect.poll(() => far.ended).toBe('ECONNRESET');
    await expect(open()).rejects.toThrow('ECONNREFUSED');
    await proxy.setMode('open');
    expect(proxy.port).toBe(port);
    await open();
    await farSide(1);
  });

  it('reset: both sides see it, new connections work', async () => {
    const client = await open();
    const far = await farSide();
    proxy.resetAll();
    await expect.poll(() => client.ended).toBe('ECONNRESET');
    await expect.poll(() => far.ended).toBe('ECONNRESET');
    await open();
    await farSide(1);
  });

  it('silent: nothing arrives and nothing closes; afterwards what was under way arrives', async () => {
    answer = (chunk) => chunk;
    const before = await open();
    await farSide();
    await proxy.setMode('silent');
    const during = await open();
    before.socket.write('one');
    during.socket.write('two');
    const other = await startTcpProxy({ targetPort: proxy.port });
    await other.close(); // gives the loop turns in which bytes would have come
    expect([before.bytes.length, during.bytes.length]).toEqual([0, 0]);
    expect([before.ended, during.ended]).toEqual(['open', 'open']);
    await proxy.setMode('open');
    await expect.poll(() => before.bytes.toString()).toBe('one');
    await expect.poll(() => during.bytes.toString()).toBe('two');
  });

  it('half open: the far side is gone, the near side never hears of it', async () => {
    const client = await open();
    const far = await farSide();
    proxy.halfOpenAll();
    await expect.poll(() => far.ended).toBe('ECONNRESET');
    client.socket.write('into the void');
    expect(client.ended).toBe('open');
    client.socket.end();
    await expect.poll(() => proxy.connections).toBe(0);
    expect(far.bytes.length).toBe(0);
  });
});

describe('the fault proxy cuts Kafka requests', () => {
  it('response, reset: the broker has the request, the client gets no answer', async () => {
    answer = answerRequests;
    const cut = requests.value.cut(produce, { where: 'response', how: 'reset' });
    const client = await open();
    client.socket.write(Buffer.concat([request(API.Metadata, 7), request(API.Produce, 8)]));
    expect(await cut.done).toEqual({ apiKey: API.Produce, apiVersion: 3, correlationId: 8 });
    await expect.poll(() => client.ended).toBe('ECONNRESET');
    expect((await farSide()).bytes.length).toBe(64);
    // At most the answer to the request before; the reset may have overtaken even that.
    expect(client.bytes.includes(Buffer.from([0, 0, 0, 8]))).toBe(false);
  });

  it('response, silent: as before, but nothing closes, and the next connection works', async () => {
    answer = answerRequests;
    const cut = requests.value.cut(produce, { where: 'response', how: 'silent' });
    const client = await open();
    client.socket.write(request(API.Produce, 8));
    await cut.done;
    client.socket.write(request(API.Produce, 9));
    const next = await open();
    next.socket.write(request(API.Produce, 1));
    await expect.poll(() => next.bytes.length).toBe(16);
    expect([client.ended, client.bytes.length]).toEqual(['open', 0]);
    expect((await farSide()).bytes.length).toBe(32);
    client.socket.end();
    await expect.poll(() => proxy.connections).toBe(1);
  });

  it('request: the broker gets what came before it and nothing of it', async () => {
    answer = answerRequests;
    const cut = requests.value.cut(produce, { where: 'request', how: 'silent' });
    const client = await open();
    client.socket.write(Buffer.concat([request(API.Metadata, 7), request(API.Produce, 8)]));
    await cut.done;
    const far = await farSide();
    await expect.poll(() => far.bytes.length).toBe(32);
    expect(far.bytes.readInt16BE(4)).toBe(API.Metadata);
    client.socket.end();
    await expect.poll(() => far.ended).toBe('ECONNRESET');
    expect(far.bytes.length).toBe(32);
  });

  it('middle: the broker gets half of it', async () => {
    const cut = requests.value.cut(produce, { where: 'middle', how: 'silent' });
    const client = await open();
    client.socket.write(request(API.Produce, 8, 188));
    await cut.done;
    const far = await farSide();
    await expect.poll(() => far.bytes.length).toBe(100);
  });

  it('counts requests however the stream is chopped, and cuts once', async () => {
    answer = () => undefined;
    const cut = requests.value.cut(produce, { where: 'request', how: 'reset' });
    cut.cancel();
    const client = await open();
    const stream = Buffer.concat([1, 2, 3].map((id) => request(API.Produce, id, id * 3)));
    const far = await farSide();
    for (const [index, byte] of stream.entries()) {
      client.socket.write(Buffer.from([byte]));
      await expect.poll(() => far.bytes.length, { interval: 1 }).toBe(index + 1);
    }
    expect(requests.value.count(API.Produce)).toBe(3);
    expect(client.ended).toBe('open');
  });

  it('is armed again when the connection breaks before the response', async () => {
    const cut = requests.value.cut(produce, { where: 'response', how: 'reset' });
    const first = await open();
    first.socket.write(request(API.Produce, 1));
    await expect.poll(async () => (await farSide()).bytes.length).toBe(32);
    proxy.resetAll();
    await expect.poll(() => proxy.connections).toBe(0);
    answer = answerRequests;
    const second = await open();
    second.socket.write(request(API.Produce, 2));
    expect((await cut.done).correlationId).toBe(2);
  });
});
