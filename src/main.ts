#!/usr/bin/env -S MALLOC_MMAP_THRESHOLD_=131072 MALLOC_ARENA_MAX=2 node --max-semi-space-size=4 --heap-growing-percent=60
/**
 * argv → command line → exit code. The only caller of process.exit. It imports nothing statically,
 * so that a Node that is too old gets one clear line and not a syntax error from deeper down.
 */
const MIN_NODE = 24;

const major = Number(process.versions.node.split('.')[0]);
if (major < MIN_NODE) {
  process.stderr.write(
    `gatelog: this is Node ${process.versions.node}; gatelog needs Node ${MIN_NODE} or newer. ` +
      `In a checkout use npm start, npm run or npx, which bring their own.\n`,
  );
  process.exit(78);
}

const { runCli } = await import('./cli/program.ts');
process.exit(await runCli(process.argv.slice(2)));
