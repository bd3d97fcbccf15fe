import { createServer, type Socket } from 'node:net';
import type { FakeLogins } from './fake-logins.ts';
import { API, FrameScanner, REQUEST_HEAD_BYTES, requestHeader } from './frames.ts';

/**
 * A broker that knows ApiVersions v3, which it answers with the versions given, and, where it is said when,
 * Produce v9 to partition 0 of `scans`; whatever else it is asked it leaves unanswered.
 */
export interface FakeBroker {
  readonly port: number;
  /** API keys of what was asked, by connection. */
  readonly asked: readonly (readonly number[])[];
  /** Leaves every request from now on unanswered. */
  mute(): void;
  /** Closes the connections that there are. */
  hangUp(): void;
  close(): Promise<void>;
}

export interface ApiRange {
  readonly key: number;
  readonly min: number;
  readonly max: number;
}

export interface FakeBrokerOptions {
  readonly throttleMs?: number;
  /** So much later than it could. */
  readonly answersAfterMs?: number;
  /** Records are answered so long after they came, by the bytes of their request. */
  readonly producesAfterMs?: (bytes: number) => number;
  /** Else nobody logs in. */
  readonly logins?: FakeLogins;
}

export async function startFakeBroker(
  apis: readonly ApiRange[] = [],
  { throttleMs = 0, answersAfterMs = 0, producesAfterMs, logins }: FakeBrokerOptions = {},
): Promise<FakeBroker> {
  const sockets = new Set<Socket>();
  const asked: number[][] = [];
  let isMute = false;
  const server = createServer((socket) => {
    sockets.add(socket);
    const keys: number[] = [];
    asked.push(keys);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    const scanner = new FrameScanner(REQUEST_HEAD_BYTES);
    socket.on('data', (chunk: Buffer) => {
      for (const frame of scanner.scan(chunk)) {
        const { apiKey, correlationId } = requestHeader(frame);
        keys.push(apiKey);
        const write = (bytes: Buffer): void => void socket.write(bytes);
        if (logins?.take(socket, apiKey, correlationId, write) === true) continue;
        if (apiKey === API.Produce && producesAfterMs !== undefined) {
          setTimeout(
            () => write(produced(correlationId)),
            producesAfterMs(frame.end - frame.start),
          );
        }
        if (isMute || apiKey !== API.ApiVersions) continue;
        const answer = versions(correlationId, apis, throttleMs);
        if (answersAfterMs === 0) socket.write(answer);
        else setTimeout(() => socket.write(answer), answersAfterMs);
      }
    });
  });
  const hangUp = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve());
  });
  const address = server.address();
  if (address === null || typeof address !== 'object') throw new Error('it listens on a port');
  return {
    port: address.port,
    asked,
    mute: () => {
      isMute = true;
    },
    hangUp,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        hangUp();
      }),
  };
}

/** ProduceResponse v9: everything was taken. */
function produced(correlationId: number): Buffer {
  const head = Buffer.alloc(9);
  head.writeInt32BE(correlationId, 4); // then no tagged fields
  const topic = Buffer.from('scans', 'utf8');
  const start = Buffer.from([2, topic.length + 1]); // one topic
  // One partition: number, code, base offset, log append time, log start, errors, message, tags.
  const partition = Buffer.from([2, ...Buffer.alloc(4 + 2 + 8 + 8 + 8), 1, 0, 0]);
  const end = Buffer.alloc(1 + 4 + 1); // tags of the topic, throttle time, tags
  const frame = Buffer.concat([head, start, topic, partition, end]);
  frame.writeInt32BE(frame.length - 4, 0);
  return frame;
}

/** ApiVersionsResponse v3 with a response header v0. */
function versions(correlationId: number, apis: readonly ApiRange[], throttleMs: number): Buffer {
  const head = Buffer.alloc(11);
  head.writeInt32BE(correlationId, 4); // then error code 0
  head.writeUInt8(apis.length + 1, 10); // a compact array's length; unsigned varint
  const entries = apis.map(({ key, min, max }) => {
    const entry = Buffer.alloc(7); // with no tagged fields
    entry.writeInt16BE(key, 0);
    entry.writeInt16BE(min, 2);
    entry.writeInt16BE(max, 4);
    return entry;
  });
  const tail = Buffer.alloc(5); // throttle time, no tagged fields
  tail.writeInt32BE(throttleMs, 0);
  const frame = Buffer.concat([head, ...entries, tail]);
  frame.writeInt32BE(frame.length - 4, 0);
  return frame;
}
