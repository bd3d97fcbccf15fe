/**
 * `npm test`: installs what is missing, checks, starts a real Kafka, runs the whole suite, and ends
 * with one line, `N passed, N failed`. Plain JavaScript for any Node from 20, without packages.
 *
 * Counted are the tests that vitest reports. Beside them, one failure each: a step (fetching,
 * build, types, lint, format, dead code) that failed, a suite that could not be loaded, a skipped
 * test, an error outside any test, a run that crashed or took too long.
 */
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import {
  ensureModules,
  lockedNode,
  npmCommand,
  PrepareError,
  ROOT,
  run,
} from '../deploy/prepare.mjs';
import { countReport } from './setup/report.mjs';
import { ensureTools } from './setup/tools.mjs';

/** The whole run, in all: a suite that hangs is stopped and counted as failed. */
const LIMIT_MS = 28 * 60_000;
const begun = performance.now();
const total = { passed: 0, failed: 0 };
const troubles = [];

function failed(what) {
  total.failed += 1;
  troubles.push(what);
}

function heading(text) {
  const seconds = Math.round((performance.now() - begun) / 1000);
  process.stdout.write(`\n== ${text} (${seconds} s)\n`);
}

/**
 * Debian keeps daemons in /usr/sbin, which is not on every user's path. The program is started some
 * hundreds of times from its sources: with Node's cache of what it compiled each start takes half.
 */
const env = {
  ...process.env,
  PATH: `${process.env.PATH}${delimiter}/usr/sbin${delimiter}/sbin`,
  NODE_COMPILE_CACHE: join(ROOT, '.cache', 'test', 'compiled'),
};

async function step(name, command, args) {
  heading(name);
  const code = await run(command, args, { env });
  if (code !== 0) failed(`${name}: exit code ${code}`);
  return code === 0;
}

function npmStep(name, script) {
  const [command, args] = npmCommand(['run', '--silent', script]);
  return step(name, command, args);
}

async function vitest(projects) {
  const name = projects.join(' and ');
  heading(`tests: ${name}`);
  const folder = join(ROOT, '.cache', 'test');
  const report = join(folder, `${projects.join('-')}.json`);
  mkdirSync(folder, { recursive: true });
  rmSync(report, { force: true });
  const controller = new AbortController();
  const left = LIMIT_MS - (performance.now() - begun);
  const timer = setTimeout(() => controller.abort(), Math.max(0, left));
  const args = [
    join(ROOT, 'node_modules', 'vitest', 'vitest.mjs'),
    'run',
    ...projects.flatMap((project) => ['--project', project]),
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
  ];
  const code = await run(lockedNode(), args, { env }, controller.signal);
  clearTimeout(timer);
  const text = existsSync(report) ? readFileSync(report, 'utf8') : undefined;
  const counts = countReport(text, code);
  total.passed += counts.passed;
  total.failed += counts.failed;
  const late = controller.signal.aborted ? ' (stopped: it took too long)' : '';
  troubles.push(...counts.troubles.map((trouble) => `${name}: ${trouble}${late}`));
}

async function main() {
  await ensureModules();
  ensureTools(env.PATH);
  const jars = [join(ROOT, 'test', 'support', 'kafka', 'fetch.ts')];
  const ready = await step('Kafka', lockedNode(), jars);
  const built = await npmStep('build', 'build');
  await npmStep('types', 'check:types');
  await npmStep('lint', 'check:lint');
  await npmStep('format', 'check:format');
  await npmStep('dead code', 'check:dead');
  await vitest(['rules', 'unit']);
  // Side by side: those with Kafka wait for much.
  await Promise.all([besideKafka(built), withKafka(ready && built)]);
}

async function besideKafka(isPossible) {
  await vitest(['crash']);
  if (isPossible) await vitest(['edge']);
  else failed('edge: not run, for want of a build');
}

async function withKafka(isPossible) {
  if (isPossible) await vitest(['system']);
  else failed('system: not run, for want of Kafka or of a build');
}

function finish() {
  for (const trouble of troubles) process.stdout.write(`\nfailed: ${trouble}`);
  process.stdout.write(`\n${total.passed} passed, ${total.failed} failed\n`);
  process.exitCode = total.failed === 0 && total.passed > 0 ? 0 : 1;
}

try {
  await main();
} catch (error) {
  failed(error instanceof PrepareError ? error.message : String(error?.stack ?? error));
}
finish();
