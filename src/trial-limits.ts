import { assert } from './assert.ts';

/** The bounds of what people try gatelog with: `npm start` and `gatelog rehearse`. As in limits.ts. */
export const TRIAL_LIMITS = {
  // The demo behind `npm start`.
  /** Readings a simulated sensor keeps while they are unacknowledged; then it stops measuring. */
  demoSensorBacklog: 20_000,
  /** Readings a sensor has on the wire unacknowledged. */
  demoSensorWindow: 16,
  /** Waiting for the mirror to catch up before the verify report. */
  demoDrainMs: 20_000,
  /** For agents of a demo that was killed to stop by themselves. */
  demoVacancyMs: 8000,
  /** Starts in a row after which an agent that never came up is given up. */
  demoStartAttempts: 5,
  demoRestartFirstMs: 400,
  demoRestartMaxMs: 5000,
  /** Of a child's last words. */
  demoTailBytes: 8192,
  demoEvents: 100,
  /** Without a terminal: a line with the figures so often. */
  demoStatusLineMs: 5000,
  /** Ports tried above the wanted one. */
  demoPortsTried: 100,

  // `gatelog rehearse`.
  rehearseMs: 60_000,
  rehearseMsMax: 86_400_000, // 1 d
  /** All devices together send some 800 messages a second. */
  rehearseDevices: 16,
  rehearseIntervalMs: 20,
  /** For an agent to start, and for devices to be served again after a fault. */
  rehearseReadyMs: 30_000,
  /** For devices and mirror to get rid of what they have. */
  rehearseDrainMs: 30_000,
  /** The small disk that is filled, in memory. */
  rehearseDiskBytes: 100_663_296, // 96 MiB
  rehearseQuotaStepBytes: 4_194_304, // 4 MiB
} as const;

assert(
  TRIAL_LIMITS.demoSensorWindow <= TRIAL_LIMITS.demoSensorBacklog,
  'what is on the wire is kept',
);
