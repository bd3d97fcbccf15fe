import { defineConfig, type ViteUserConfig } from 'vitest/config';

/**
 * Projects by what they need. `rules` and `unit` need nothing but Node, `crash` a C compiler; `edge` (whole
 * agents, Mosquitto, disks, networks) and `system` (a real Kafka) need the parts that `npm test` installs and
 * starts. It runs `crash` and `edge` beside `system`, which waits for much. `hunt`, `systemd` (a booted Debian; wants root) and
 * `package` (Debian packages under the real dpkg; too) run only when named.
 */
const shared = {
  retry: 0,
  pool: 'forks',
  testTimeout: 30_000,
  hookTimeout: 60_000,
  // A condition that is polled for may take its time on a busy machine; it is no measurement.
  expect: { poll: { timeout: 20_000 } },
} as const;

/** Needs nothing but Node, and leaves nothing behind in its process. */
const quick = {
  ...shared,
  // Modules are loaded once in each worker, not once in each file: half of the time.
  isolate: false,
  // Vitest leaves a core free, which on small machines is half of them.
  maxWorkers: '100%',
} as const;

const config: ViteUserConfig = defineConfig({
  test: {
    projects: [
      { test: { ...quick, name: 'rules', include: ['test/rules/**/*.test.ts'] } },
      {
        test: {
          ...quick,
          name: 'unit',
          include: ['test/{leaves,store,agent,mirror,admin,cli,page,sim,deploy}/**/*.test.ts'],
        },
      },
      {
        test: {
          ...shared,
          name: 'crash',
          include: ['test/crash/**/*.test.ts'],
        },
      },
      {
        test: {
          ...shared,
          name: 'edge',
          include: ['test/edge/**/*.test.ts'],
          testTimeout: 180_000,
          hookTimeout: 180_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          ...shared,
          name: 'system',
          include: ['test/system/**/*.test.ts'],
          globalSetup: ['test/setup/kafka.ts'],
          testTimeout: 180_000,
          hookTimeout: 180_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          ...shared,
          name: 'package',
          include: ['test/package/**/*.test.ts'],
          testTimeout: 600_000,
          // A Debian of another architecture is made by emulated programs: minutes, on a busy machine many.
          hookTimeout: 3_000_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          ...shared,
          name: 'systemd',
          include: ['test/systemd/**/*.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 180_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          ...shared,
          name: 'hunt',
          include: ['test/hunt/**/*.test.ts'],
          testTimeout: 3_600_000,
          hookTimeout: 180_000,
          fileParallelism: false,
        },
      },
    ],
  },
});

export default config;
