import type { Random } from '../../random.ts';
import { DAY_MS } from '../../units.ts';

/**
 * Twenty sensors of a small plant, with values that move as real ones do: a daily curve with
 * noise that drifts back to its mean, machines that switch on and off, doors that people open.
 * Pure but for the Random handed in.
 */
export interface Readout {
  /** What goes into the JSON payload beside sensor, run, seq and time. */
  readonly fields: Readonly<Record<string, number | string>>;
  /** For a person: `21.4 °C`. */
  readonly text: string;
}

export type Model = (nowMs: number) => Readout;

export interface SensorSpec {
  /** Id of the device, its MQTT client id as well. */
  readonly name: string;
  readonly topic: string;
  readonly intervalMs: number;
  readonly model: (random: Random) => Model;
}

/** Standard normal, by Box and Muller. */
function gaussian(random: Random): number {
  const radius = Math.sqrt(-2 * Math.log(1 - random.next()));
  return radius * Math.cos(2 * Math.PI * random.next());
}

function round(value: number, digits: number): number {
  const scale = 10 ** digits;
  return Math.round(value * scale) / scale;
}

/** Noise with a memory (Ornstein-Uhlenbeck in discrete steps): wanders, and comes back to 0. */
function wander(random: Random, step: number): () => number {
  let value = gaussian(random) * step * 2;
  return () => {
    value = value * 0.97 + gaussian(random) * step;
    return value;
  };
}

interface Curve {
  readonly field: string;
  readonly unit: string;
  readonly digits: number;
  readonly mean: number;
  /** Half of the difference between the afternoon's peak and the night's low. */
  readonly swing: number;
  readonly noise: number;
  readonly min?: number;
  readonly max?: number;
}

/** A quantity that follows the day: lowest near 4 h, highest near 16 h (UTC). */
function daily(curve: Curve): SensorSpec['model'] {
  const { field, unit, digits, mean, swing, noise, min = -Infinity, max = Infinity } = curve;
  return (random) => {
    const drift = wander(random, noise);
    return (nowMs) => {
      const phase = ((nowMs % DAY_MS) / DAY_MS - 10 / 24) * 2 * Math.PI;
      const value = mean + swing * Math.sin(phase) + drift();
      const shown = round(Math.min(max, Math.max(min, value)), digits);
      return { fields: { [field]: shown }, text: `${shown.toFixed(digits)} ${unit}` };
    };
  };
}

/** Vibration velocity of a machine in mm/s (ISO 10816 speaks of RMS): a level, now and then rough. */
function vibration(level: number, hertz: number): SensorSpec['model'] {
  return (random) => {
    let rough = 0;
    const drift = wander(random, level * 0.02);
    return () => {
      if (random.next() < 0.004) rough = 2 + random.next() * 2;
      rough *= 0.96;
      const rms = round(Math.max(0.05, level * (1 + rough) + drift()), 2);
      const peak = round(rms * (1.35 + random.next() * 0.4), 2);
      const dominantHz = round(hertz + gaussian(random) * 0.3, 1);
      return { fields: { rms, peak, dominantHz }, text: `${rms.toFixed(2)} mm/s` };
    };
  };
}

/** A three-phase meter: a base load and machines that switch; energy only ever grows. */
function power(baseWatts: number, machineWatts: number): SensorSpec['model'] {
  return (random) => {
    let machines = Math.floor(random.next() * 4);
    let wattHours = Math.floor(random.next() * 5_000_000);
    let beforeMs: number | undefined;
    const drift = wander(random, baseWatts * 0.01);
    return (nowMs) => {
      if (random.next() < 0.01) {
        machines = Math.min(4, Math.max(0, machines + (random.next() < 0.5 ? 1 : -1)));
      }
      const watts = Math.max(0, round(baseWatts + machines * machineWatts + drift(), 0));
      // The wall clock may jump back; a meter does not.
      wattHours += (watts * Math.max(0, nowMs - (beforeMs ?? nowMs))) / 3_600_000;
      beforeMs = nowMs;
      const powerFactor = round(0.9 + machines * 0.015 + gaussian(random) * 0.004, 3);
      return {
        fields: { watts, wattHours: round(wattHours, 1), powerFactor },
        text: `${(watts / 1000).toFixed(2)} kW`,
      };
    };
  };
}

/** A door contact: mostly closed, opened for some seconds. Reports its state, and how often. */
function door(opensPerReading: number): SensorSpec['model'] {
  return (random) => {
    let openFor = 0;
    let openings = 0;
    return () => {
      if (openFor > 0) openFor--;
      else if (random.next() < opensPerReading) {
        openFor = 1 + Math.floor(random.next() * 6);
        openings++;
      }
      const state = openFor > 0 ? 'open' : 'closed';
      return { fields: { state, openings }, text: state };
    };
  };
}

/** A tank that is drawn from and refilled. */
function tank(): SensorSpec['model'] {
  return (random) => {
    let percent = 40 + random.next() * 40;
    let filling = false;
    return () => {
      if (percent < 25) filling = true;
      if (percent > 92) filling = false;
      percent += filling ? 0.6 : -0.08 * random.next();
      const shown = round(percent, 1);
      return {
        fields: { percent: shown, pump: filling ? 'on' : 'off' },
        text: `${shown.toFixed(1)} %`,
      };
    };
  };
}

function celsius(mean: number, swing: number, noise: number): SensorSpec['model'] {
  return daily({ field: 'celsius', unit: '°C', digits: 1, mean, swing, noise });
}

function humidity(mean: number, swing: number): SensorSpec['model'] {
  return daily({
    field: 'relativeHumidity',
    unit: '%',
    digits: 1,
    mean,
    swing,
    noise: 0.3,
    min: 0,
    max: 100,
  });
}

function sensor(
  name: string,
  topic: string,
  intervalMs: number,
  model: SensorSpec['model'],
): SensorSpec {
  return { name, topic: `plant/${topic}`, intervalMs, model };
}

const BAR: Curve = { field: 'bar', unit: 'bar', digits: 2, mean: 6.2, swing: 0.1, noise: 0.03 };
const LITRES: Curve = {
  field: 'litresPerMinute',
  unit: 'l/min',
  digits: 1,
  mean: 42,
  swing: 6,
  noise: 0.8,
  min: 0,
};
const PPM: Curve = {
  field: 'ppm',
  unit: 'ppm CO₂',
  digits: 0,
  mean: 640,
  swing: 160,
  noise: 6,
  min: 400,
};
const LUX: Curve = {
  field: 'lux',
  unit: 'lx',
  digits: 0,
  mean: 420,
  swing: 380,
  noise: 9,
  min: 0,
};

export const SENSORS: readonly SensorSpec[] = [
  sensor('temp-hall-1', 'hall-1/temperature', 1000, celsius(21.5, 2.5, 0.05)),
  sensor('temp-hall-2', 'hall-2/temperature', 1000, celsius(22.5, 2, 0.05)),
  sensor('temp-cold', 'cold-store/temperature', 2000, celsius(-18.5, 0.4, 0.08)),
  sensor('temp-boiler', 'boiler/temperature', 1000, celsius(71, 3, 0.3)),
  sensor('temp-yard', 'yard/temperature', 5000, celsius(9, 6, 0.05)),
  sensor('hum-hall-1', 'hall-1/humidity', 2000, humidity(46, -5)),
  sensor('hum-cold', 'cold-store/humidity', 5000, humidity(82, 2)),
  sensor('vib-pump-1', 'pump-1/vibration', 250, vibration(1.8, 49.2)),
  sensor('vib-pump-2', 'pump-2/vibration', 250, vibration(2.1, 48.9)),
  sensor('vib-fan', 'fan/vibration', 250, vibration(0.9, 24.6)),
  sensor('vib-mill', 'mill/vibration', 200, vibration(4.2, 16.4)),
  sensor('power-main', 'main/power', 500, power(9000, 7500)),
  sensor('power-line-1', 'line-1/power', 500, power(2200, 3100)),
  sensor('power-line-2', 'line-2/power', 500, power(1900, 2700)),
  sensor('air-pressure', 'compressor/pressure', 1000, daily(BAR)),
  sensor('tank-level', 'tank/level', 1000, tank()),
  sensor('water-flow', 'cooling/flow', 1000, daily(LITRES)),
  sensor('co2-hall-1', 'hall-1/co2', 5000, daily(PPM)),
  sensor('light-yard', 'yard/light', 5000, daily(LUX)),
  sensor('door-gate', 'gate/door', 1500, door(0.08)),
];
