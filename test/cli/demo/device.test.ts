import { afterEach, expect, test } from 'vitest';
import { Device, type DeviceConnection } from '../../../src/cli/demo/device.ts';
import type { SensorSpec } from '../../../src/cli/demo/sensors.ts';
import { TRIAL_LIMITS } from '../../../src/trial-limits.ts';
import { seededRandom } from '../../../src/random.ts';
import { systemClock } from '../../../src/time.ts';

/** A broker that stores at once and acknowledges when the test says so. */
class FakeBroker {
  readonly stored: number[] = [];
  reachable = true;
  holdAcks = false;
  connections = 0;
  #held: (() => void)[] = [];
  #lose: (() => void) | undefined;

  readonly dial = (): Promise<DeviceConnection> => {
    if (!this.reachable) return Promise.reject(new Error('refused'));
    this.connections++;
    const { promise: closed, resolve: lose } = Promise.withResolvers<void>();
    const pending = new Set<() => void>();
    this.#lose = () => {
      for (const reject of pending) reject();
      this.#held = [];
      lose();
    };
    const publish = (_topic: string, payload: Uint8Array): Promise<void> => {
      const { seq } = JSON.parse(Buffer.from(payload).toString('utf8')) as { seq: number };
      this.stored.push(seq);
      return new Promise((resolve, reject) => {
        const fail = (): void => reject(new Error('lost'));
        pending.add(fail);
        const acknowledge = (): void => {
          pending.delete(fail);
          resolve();
        };
        if (this.holdAcks) this.#held.push(acknowledge);
        else acknowledge();
      });
    };
    return Promise.resolve({ publish, closed, close: async () => this.#lose?.() });
  };

  lose(): void {
    this.#lose?.();
  }

  releaseAcks(): void {
    this.holdAcks = false;
    for (const acknowledge of this.#held.splice(0)) acknowledge();
  }
}

const spec: SensorSpec = {
  name: 'temp',
  topic: 'plant/hall/temperature',
  intervalMs: 2,
  model: () => () => ({ fields: { celsius: 20 }, text: '20.0 °C' }),
};

let device: Device | undefined;

afterEach(async () => device?.stop());

function deviceOn(broker: FakeBroker): Device {
  device = new Device({
    spec,
    run: 'r1',
    dial: broker.dial,
    clock: systemClock,
    random: seededRandom(1),
  });
  device.start();
  return device;
}

test('numbers its readings without gaps and counts acknowledgements', async () => {
  const broker = new FakeBroker();
  const sensor = deviceOn(broker);
  await expect.poll(() => sensor.acknowledged).toBeGreaterThan(20);
  sensor.setMeasuring(false);
  await expect.poll(() => sensor.waiting).toBe(0);
  expect(broker.stored).toEqual(broker.stored.map((_, index) => index + 1));
  expect(sensor.lastText).toBe('20.0 °C');
  expect(sensor.unacknowledged()).toEqual(new Set());
});

test('sends no more than its window unacknowledged', async () => {
  const broker = new FakeBroker();
  broker.holdAcks = true;
  const sensor = deviceOn(broker);
  await expect.poll(() => sensor.waiting).toBeGreaterThan(TRIAL_LIMITS.demoSensorWindow + 5);
  expect(broker.stored).toHaveLength(TRIAL_LIMITS.demoSensorWindow);
  expect(sensor.acknowledged).toBe(0);
  expect(sensor.unacknowledged()).toContain(1);
  expect(sensor.unacknowledged().size).toBe(sensor.lastSeq);
  broker.releaseAcks();
  await expect.poll(() => sensor.acknowledged).toBeGreaterThan(TRIAL_LIMITS.demoSensorWindow);
});

test('keeps what was not acknowledged and sends it again, in order, after a lost connection', async () => {
  const broker = new FakeBroker();
  const sensor = deviceOn(broker);
  await expect.poll(() => sensor.acknowledged).toBeGreaterThan(3);
  broker.holdAcks = true;
  const before = sensor.acknowledged;
  await expect.poll(() => sensor.waiting).toBeGreaterThan(3);
  broker.reachable = false;
  broker.lose();
  await expect.poll(() => sensor.connected).toBe(false);
  const keptWhileAway = sensor.waiting;
  await expect.poll(() => sensor.waiting).toBeGreaterThan(keptWhileAway);
  expect(sensor.acknowledged).toBe(before);
  broker.holdAcks = false;
  broker.reachable = true;
  await expect.poll(() => sensor.acknowledged, { timeout: 10_000 }).toBeGreaterThan(before + 20);
  sensor.setMeasuring(false);
  await expect.poll(() => sensor.waiting).toBe(0);
  expect(broker.connections).toBe(2);
  expect(sensor.sentAgain).toBeGreaterThan(0);
  const firsts = [...new Set(broker.stored)];
  expect(firsts).toEqual(firsts.map((_, index) => index + 1));
  expect(broker.stored.length - firsts.length).toBe(sensor.sentAgain);
});

test('a paused sensor measures nothing, and goes on later', async () => {
  const broker = new FakeBroker();
  const sensor = deviceOn(broker);
  await expect.poll(() => sensor.lastSeq).toBeGreaterThan(3);
  sensor.setMeasuring(false);
  const { lastSeq } = sensor;
  await systemClock.sleep(50);
  expect(sensor.lastSeq).toBe(lastSeq);
  sensor.setMeasuring(true);
  await expect.poll(() => sensor.lastSeq).toBeGreaterThan(lastSeq);
});
