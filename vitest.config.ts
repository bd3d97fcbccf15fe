import { defineConfig, type ViteUserConfig } from 'vitest/config';

/**
 * Projects by what they need. `rules` and `unit` need nothing but Node, `crash` a C compiler; `system` needs the real
 * parts (Kafka, Mosquitto, kcat) that `npm test` installs and starts; `hunt` runs only when named.
 */
const shared = {
  retry: 0,
  pool: 'forks',
  testTimeout: 30_000,
  hookTimeout: 60_000,
  // A condition that is polled for may take its time on a busy machine; it is no measurement.
  expect: { poll: { timeout: 20_000 } },
} as const;

const config: ViteUserConfig = defineConfig({
  test: {
    projects: [
      { test: { ...shared, name: 'rules', include: ['test/rules/**/*.test.ts'] } },
      {
        test: {
          ...shared,
          name: 'unit',
          include: ['test/{leaves,store,agent,mirror,admin,cli,sim}/**/*.test.ts'],
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
