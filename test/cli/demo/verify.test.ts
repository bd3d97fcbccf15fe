import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { noColours } from '../../../src/cli/demo/text.ts';
import { type DemoReport, reportLines, verdictOf } from '../../../src/cli/demo/report.ts';
import {
  type ArrivedRecord,
  arrivedIn,
  type Testimony,
  Verifier,
} from '../../../src/cli/demo/verify.ts';
import { GatelogError } from '../../../src/errors.ts';
import { encodeHeaders } from '../../../src/headers.ts';
import { formatIdentity } from '../../../src/identity.ts';
import { seededRandom } from '../../../src/random.ts';
import type { Store, TopicOptions } from '../../../src/store/log.ts';
import { openStore } from '../../../src/store/open.ts';
import { silentLogger } from '../../../src/telemetry.ts';
import { systemClock } from '../../../src/time.ts';

const GATEWAY = 'demo-test';
const RUN = 'run1';
const TOPIC: TopicOptions = {
  partitions: 2,
  durability: 'fsync',
  retentionMs: undefined,
  retentionBytes: undefined,
};

let root: string;
let edge: Store;
let central: Store;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'gatelog-verify-'));
  const open = (name: string, seed: number): Promise<Store> =>
    openStore({
      folder: join(root, name),
      clock: systemClock,
      random: seededRandom(seed),
      logger: silentLogger,
    });
  edge = await open('edge', 1);
  central = await open('central', 2);
});

afterEach(async () => {
  await edge.close();
  await central.close();
  await rm(root, { recursive: true });
});

function reading(name: string, seq: number, run: string = RUN): string {
  return JSON.stringify({ sensor: name, run, seq, celsius: 20 });
}

function append(
  store: Store,
  partition: number,
  value: string,
  headers?: Uint8Array,
): Promise<number> {
  const stream = store.writer.defineTopic('telemetry', TOPIC).streams[partition];
  return new Promise((resolve, reject) => {
    if (stream === undefined) throw new Error('no such partition');
    const key = Buffer.from(`key-${partition}`);
    const bytes = Buffer.from(value);
    const none = new Uint8Array(0);
    store.writer.append(stream, 1, key, bytes, headers ?? none, 'fsync', (error, offset) => {
      if (error === null) resolve(offset);
      else reject(error);
    });
  });
}

/** A record as the mirror delivers it to the central. */
function deliver(
  partition: number,
  offset: number,
  value: string,
  gateway = GATEWAY,
): Promise<number> {
  const { incarnation } = edge.identity;
  const id = formatIdentity({ gateway, incarnation, topic: 'telemetry', partition, offset });
  const headers = encodeHeaders([{ key: 'gatelog.id', value: Buffer.from(id) }]);
  return append(central, partition, value, headers);
}

interface Case {
  readonly devices: readonly Testimony[];
  readonly confirmed?: readonly (readonly [string, number])[];
  readonly runFrom?: readonly (readonly [string, number])[];
}

function verify({ devices, confirmed = [], runFrom = [] }: Case): Promise<DemoReport> {
  const verifier = new Verifier({
    gateway: GATEWAY,
    incarnation: edge.identity.incarnation,
    run: RUN,
    devices,
    runFrom: new Map(runFrom),
    confirmed: new Map(confirmed),
    edge: edge.reader,
  });
  return verifier.verify('central', arrivedIn(central.reader));
}

function sensor(name: string, lastSeq: number, unacknowledged: readonly number[] = []): Testimony {
  return { name, lastSeq, unacknowledged: new Set(unacknowledged) };
}

const CONFIRMED_4 = [['telemetry/0', 4]] as const;

/** Four readings of one sensor, at the edge and at the centre. */
async function fourDelivered(): Promise<void> {
  for (let seq = 1; seq <= 4; seq++) {
    const offset = await append(edge, 0, reading('temp', seq));
    await deliver(0, offset, reading('temp', seq));
  }
}

describe('the verifier', () => {
  test('finds a whole run clean', async () => {
    await fourDelivered();
    const report = await verify({ devices: [sensor('temp', 4)], confirmed: CONFIRMED_4 });
    expect(verdictOf(report)).toBe('clean');
    expect(report.devices).toMatchObject({ acknowledged: 4, unacknowledged: 0, missing: 0 });
    expect(report.edge).toMatchObject({ records: 4, runRecords: 4, sentAgain: 0, disorder: 0 });
    expect(report.centre).toMatchObject({ altered: 0, waiting: 0 });
    expect(report.centre.audit.records).toBe(4);
    expect(reportLines(report, noColours).at(-1)).toContain('clean: every acknowledged reading');
  });

  test('an acknowledged reading that is not at the edge is lost', async () => {
    await fourDelivered();
    const devices = [sensor('temp', 6), sensor('door', 2, [1])];
    const report = await verify({ devices, confirmed: CONFIRMED_4 });
    expect(verdictOf(report)).toBe('broken');
    expect(report.devices.missing).toBe(3);
    expect(report.devices.missingSamples).toEqual(['temp 5', 'temp 6', 'door 2']);
    expect(reportLines(report, noColours).join('\n')).toContain('lost: temp 5');
  });

  test('one that was never acknowledged may be missing, or stored', async () => {
    await fourDelivered();
    const report = await verify({
      devices: [sensor('temp', 6, [4, 5, 6])],
      confirmed: CONFIRMED_4,
    });
    expect(verdictOf(report)).toBe('clean');
    expect(report.devices).toMatchObject({ acknowledged: 3, unacknowledged: 3 });
  });

  test("a device's own resend is counted and no fault; disorder of first copies is", async () => {
    await fourDelivered();
    await append(edge, 0, reading('temp', 3));
    await deliver(0, 4, reading('temp', 3));
    const resent = await verify({ devices: [sensor('temp', 4)] });
    expect(resent.edge).toMatchObject({ sentAgain: 1, disorder: 0 });
    expect(verdictOf(resent)).toBe('clean');
    await append(edge, 1, reading('door', 2));
    await append(edge, 1, reading('door', 1));
    const report = await verify({ devices: [sensor('temp', 4), sensor('door', 2)] });
    expect(report.edge.disorder).toBe(1);
    expect(verdictOf(report)).toBe('broken');
  });

  test('readings of earlier runs, and what others publish, are not taken for this run', async () => {
    await append(edge, 0, reading('temp', 1, 'run0'));
    await append(edge, 0, 'no JSON at all');
    await append(edge, 0, '{"sensor":"temp","run":"run1","seq":"1"}');
    await deliver(0, 0, reading('temp', 1, 'run0'));
    await deliver(0, 1, 'no JSON at all');
    await deliver(0, 2, '{"sensor":"temp","run":"run1","seq":"1"}');
    const report = await verify({ devices: [sensor('temp', 0)], confirmed: [['telemetry/0', 3]] });
    expect(report.edge).toMatchObject({ records: 3, runRecords: 0 });
    expect(verdictOf(report)).toBe('clean');
  });

  test('what was confirmed and is not at the centre is missing', async () => {
    await fourDelivered();
    await append(edge, 0, reading('temp', 5));
    const report = await verify({ devices: [sensor('temp', 5)], confirmed: [['telemetry/0', 5]] });
    expect(report.centre.audit.missing).toBe(1);
    expect(verdictOf(report)).toBe('broken');
  });

  test('what was not confirmed waits, which is neither clean nor broken', async () => {
    await fourDelivered();
    await append(edge, 0, reading('temp', 5));
    await append(edge, 1, reading('door', 1));
    const devices = [sensor('temp', 5), sensor('door', 1)];
    const report = await verify({ devices, confirmed: CONFIRMED_4 });
    expect(report.centre.waiting).toBe(2);
    expect(verdictOf(report)).toBe('waiting');
    expect(reportLines(report, noColours).at(-1)).toContain('left for the next run: 2 records');
  });

  test('a hole, a repeat, disorder and an altered record at the centre are told apart', async () => {
    for (let seq = 1; seq <= 6; seq++) await append(edge, 0, reading('temp', seq));
    for (const seq of [1, 2, 2, 5, 4, 6]) {
      await deliver(0, seq - 1, seq === 6 ? 'something else' : reading('temp', seq));
    }
    const report = await verify({ devices: [sensor('temp', 6)], confirmed: [['telemetry/0', 6]] });
    expect(report.centre.audit).toMatchObject({ missing: 1, repeats: 1, disorder: 1 });
    expect(report.centre.altered).toBe(1);
    expect(verdictOf(report)).toBe('broken');
  });

  test("other gateways' records at the centre are none of ours", async () => {
    await fourDelivered();
    await deliver(0, 77, 'x', 'another-gateway');
    const report = await verify({ devices: [sensor('temp', 4)], confirmed: CONFIRMED_4 });
    expect(report.centre.audit.records).toBe(4);
    expect(verdictOf(report)).toBe('clean');
  });

  test('contents are said not to be compared when the reader has none', async () => {
    await fourDelivered();
    const verifier = new Verifier({
      gateway: GATEWAY,
      incarnation: edge.identity.incarnation,
      run: RUN,
      devices: [sensor('temp', 4)],
      runFrom: new Map(),
      confirmed: new Map(CONFIRMED_4),
      edge: edge.reader,
    });
    async function* withoutValues(): AsyncGenerator<readonly [], void, void> {
      for await (const records of arrivedIn(central.reader)) {
        yield records.map(({ value: _value, ...rest }) => rest) as unknown as readonly [];
      }
    }
    const report = await verifier.verify('Kafka', withoutValues());
    expect(report.centre.altered).toBeUndefined();
    expect(verdictOf(report)).toBe('clean');
    expect(reportLines(report, noColours).join('\n')).not.toContain('altered');
  });

  test('a centre that cannot be read is said, and no verdict is made up', async () => {
    await fourDelivered();
    const verifierOf = (devices: readonly Testimony[]): Verifier =>
      new Verifier({
        gateway: GATEWAY,
        incarnation: edge.identity.incarnation,
        run: RUN,
        devices,
        runFrom: new Map(),
        confirmed: new Map(CONFIRMED_4),
        edge: edge.reader,
      });
    async function* gone(): AsyncGenerator<readonly ArrivedRecord[], void, void> {
      for await (const records of arrivedIn(central.reader)) {
        yield records.slice(0, 1);
        throw new GatelogError('UPSTREAM_UNREACHABLE', 'nobody answers');
      }
    }
    const report = await verifierOf([sensor('temp', 4)]).verify('Kafka', gone());
    expect(verdictOf(report)).toBe('unread');
    const lines = reportLines(report, noColours).join('\n');
    expect(lines).toContain('could not be read: nobody answers');
    expect(lines).toContain('not complete: the edge lost nothing, but Kafka could not be asked');
    const lost = await verifierOf([sensor('temp', 5)]).verify('Kafka', gone());
    expect(verdictOf(lost)).toBe('broken');
  });
});
