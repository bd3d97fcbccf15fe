import { TRIAL_LIMITS } from '../../trial-limits.ts';
import { connectPublisher } from '../../mirror/mqtt/publisher.ts';
import { openStore } from '../../store/open.ts';
import { silentLogger } from '../../telemetry.ts';
import { Fleet } from '../demo/fleet.ts';
import type { DemoReport } from '../demo/report.ts';
import type { SensorSpec } from '../demo/sensors.ts';
import { arrivedIn, type ArrivedRecord, Verifier } from '../demo/verify.ts';
import { count } from '../demo/text.ts';
import type { Check, ExerciseSettings } from './exercise.ts';
import { holds } from './exercise.ts';
import { GATEWAY, type RehearsedGateway } from './gateway.ts';

const DIAL = { connectTimeoutMs: 3000, keepAliveSeconds: 10 } as const;
const FILLER = 'x'.repeat(200);

/** Devices that number their messages, and keep each until it is acknowledged. */
export function openFleet(settings: ExerciseSettings, port: number): Fleet {
  const { clock, random } = settings;
  const specs: SensorSpec[] = Array.from({ length: TRIAL_LIMITS.rehearseDevices }, (_, index) => ({
    name: `device-${index}`,
    topic: `rehearsal/device-${index}`,
    intervalMs: TRIAL_LIMITS.rehearseIntervalMs,
    model: () => (nowMs) => ({ fields: { value: nowMs % 1000, filler: FILLER }, text: '' }),
  }));
  const url = `mqtt://127.0.0.1:${port}`;
  return new Fleet({
    run: random.hex(4),
    specs,
    clock,
    random,
    dial: (clientId, signal) => connectPublisher({ url, clientId, ...DIAL }, signal),
  });
}

/** Resolves true when a message was acknowledged that was not before the call. */
export function isHeard(fleet: Fleet, settings: ExerciseSettings): Promise<boolean> {
  const before = fleet.acknowledged;
  return holds(() => fleet.acknowledged > before, TRIAL_LIMITS.rehearseReadyMs, settings);
}

/** No new messages; resolves true when every one was acknowledged. */
export async function drained(fleet: Fleet, settings: ExerciseSettings): Promise<boolean> {
  fleet.setPaused(true);
  return holds(() => fleet.waiting === 0, TRIAL_LIMITS.rehearseDrainMs, settings);
}

async function* nothing(): AsyncGenerator<readonly ArrivedRecord[]> {}

/** What the devices were promised against what the stopped agents' folders hold. */
export async function compare(
  settings: ExerciseSettings,
  fleet: Fleet,
  edgeFolder: string,
  centralFolder?: string,
): Promise<DemoReport> {
  const { clock, random } = settings;
  const parts = { clock, random, logger: silentLogger };
  const edge = await openStore({ folder: edgeFolder, ...parts });
  try {
    const verifier = new Verifier({
      gateway: GATEWAY,
      incarnation: edge.identity.incarnation,
      run: fleet.run,
      devices: fleet.devices.map((device) => ({
        name: device.spec.name,
        lastSeq: device.lastSeq,
        unacknowledged: device.unacknowledged(),
      })),
      runFrom: new Map(),
      confirmed: new Map(),
      edge: edge.reader,
    });
    if (centralFolder === undefined) return await verifier.verify('none', nothing());
    const central = await openStore({ folder: centralFolder, ...parts });
    try {
      return await verifier.verify('central', arrivedIn(central.reader));
    } finally {
      await central.close();
    }
  } finally {
    await edge.close();
  }
}

/** Of every exercise with devices: the promise itself. */
export function promiseChecks({ devices, edge }: DemoReport): Check[] {
  const { acknowledged, missing, missingSamples, expired } = devices;
  const samples = missingSamples.length === 0 ? '' : `, such as ${missingSamples.join(', ')}`;
  return [
    {
      text: 'every acknowledged message is in the log',
      ok: missing === 0 && expired === 0 && acknowledged > 0,
      detail: `${count(acknowledged)} acknowledged, ${count(missing + expired)} missing${samples}`,
    },
    {
      text: 'each device’s messages are in its order, and all records can be read',
      ok: edge.disorder === 0 && edge.unreadable === 0,
      detail:
        `${count(edge.records)} records, ${count(edge.disorder)} out of order, ` +
        `${count(edge.unreadable)} unreadable, ${count(edge.sentAgain)} sent twice by their devices`,
    },
  ];
}

/** The agent never ended but when it was killed, and stopped when it was told to. */
export function endCheck(gateway: RehearsedGateway, stopped: boolean): Check {
  const { falls } = gateway;
  const last = falls.at(-1)?.tail.at(-1);
  return {
    text: 'the agent never ended by itself, and stopped when told to',
    ok: falls.length === 0 && stopped,
    detail: falls.length === 0 ? '' : `it ended ${falls.length} times; its last words: ${last}`,
  };
}
