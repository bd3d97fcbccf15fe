import { expect, test } from 'vitest';
import { SENSORS } from '../../../src/cli/demo/sensors.ts';
import { seededRandom } from '../../../src/random.ts';

const START_MS = 1_790_000_000_000;
const DAY_MS = 86_400_000;

test('twenty sensors with names and topics of their own', () => {
  expect(SENSORS).toHaveLength(20);
  expect(new Set(SENSORS.map((spec) => spec.name)).size).toBe(20);
  expect(new Set(SENSORS.map((spec) => spec.topic)).size).toBe(20);
  for (const { name, topic } of SENSORS) {
    expect(topic).toMatch(/^plant\/[\w-]+\/[\w-]+$/u);
    expect(name.length).toBeLessThanOrEqual(12);
  }
});

/** Where each quantity may be over a whole day. */
const PLAUSIBLE: Readonly<Record<string, readonly [number, number]>> = {
  celsius: [-25, 90],
  relativeHumidity: [0, 100],
  rms: [0.05, 30],
  peak: [0.05, 60],
  dominantHz: [10, 60],
  watts: [0, 60_000],
  powerFactor: [0.8, 1],
  bar: [5, 8],
  litresPerMinute: [0, 80],
  ppm: [400, 1200],
  lux: [0, 1500],
  percent: [0, 100],
};

test('a day of readings stays plausible, and a meter never runs backwards', () => {
  const wrong: string[] = [];
  for (const spec of SENSORS) {
    const model = spec.model(seededRandom(7));
    let wattHours = 0;
    for (let minute = 0; minute < 24 * 60; minute++) {
      const { fields, text } = model(START_MS + minute * 60_000);
      if (text.length > 12) wrong.push(`${spec.name}: ${text} is long`);
      for (const [name, value] of Object.entries(fields)) {
        if (typeof value !== 'number') continue;
        const [low, high] = PLAUSIBLE[name] ?? [0, Infinity];
        if (value < low || value > high) wrong.push(`${spec.name}: ${name} is ${value}`);
      }
      const energy = Number(fields['wattHours'] ?? 0);
      if (energy < wattHours) wrong.push(`${spec.name}: ${energy} Wh after ${wattHours}`);
      wattHours = energy;
    }
  }
  expect(wrong).toEqual([]);
});

test('the hall is warmer in the afternoon than at night', () => {
  const spec = SENSORS.find(({ name }) => name === 'temp-hall-1');
  const model = spec?.model(seededRandom(1));
  const midnight = START_MS - (START_MS % DAY_MS);
  const mean = (hour: number): number => {
    let sum = 0;
    for (let second = 0; second < 600; second++) {
      sum += Number(model?.(midnight + hour * 3_600_000 + second * 1000).fields['celsius']);
    }
    return sum / 600;
  };
  expect(mean(16) - mean(4)).toBeGreaterThan(3);
});

test('the same seed gives the same readings', () => {
  for (const spec of SENSORS) {
    const one = spec.model(seededRandom(3));
    const two = spec.model(seededRandom(3));
    for (let at = START_MS; at < START_MS + 60_000; at += 1000) expect(one(at)).toEqual(two(at));
  }
});
