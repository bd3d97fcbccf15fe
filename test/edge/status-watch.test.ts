import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { CliFolder, publish } from '../support/cli.ts';
import { runChecked } from '../support/process.ts';
import { Terminal } from '../support/terminal.ts';

/** `gatelog status --watch` in a real pty, and without one. */
const LEFT = '\u001b[?1049l';
let cli: CliFolder;
const windows: Terminal[] = [];
beforeEach(() => {
  cli = new CliFolder();
});
afterEach(async () => {
  for (const window of windows.splice(0)) await window.close();
  await cli.remove();
});

/** Of 60 columns and 12 rows; its name stands in the file `tty`. */
function watchIn(...args: readonly string[]): Terminal {
  const { command, args: words } = cli.spec(['status', '--watch', ...args]);
  const line = 'tty > tty; stty cols 60 rows 12; exec "$@"';
  const window = new Terminal(['/bin/sh', '-c', line, 'sh', command, ...words], cli.folder);
  windows.push(window);
  return window;
}

/** Texts that were drawn, without what moves the cursor. */
function drawnIn(output: string): string[] {
  // oxlint-disable-next-line no-control-regex -- terminal sequences begin with a control character
  return output.split(/\u001b\[[?\d;]*[A-Za-z]/u);
}

test('it shows what changes within the window’s width, and gives the terminal back', async () => {
  const { url } = await cli.startAgent(['--gateway', 'press-1']);
  const window = watchIn('--interval', '200ms');
  await window.until(/gateway {3}press-1, gatelog .*[\s\S]*0\.0 messages\/s in/u);
  await publish(url, [{ topic: 'a', payload: 'x' }]);
  await window.until(/ingest {4}1 message \(/u);
  const narrow = window.output;
  expect(narrow).toMatch(/ \d+ more lines: a larger window shows them/u);
  expect(Math.max(...drawnIn(narrow).map((text) => Array.from(text).length))).toBe(60);

  const tty = readFileSync(path.join(cli.folder, 'tty'), 'utf8').trim();
  await runChecked({ command: 'stty', args: ['-F', tty, 'cols', '200', 'rows', '50'] });
  await window.until(/TOPIC +PARTITIONS/u);

  window.type('\u0003');
  await window.until(/code \d+[\s\S]*isig/u);
  const { output } = window;
  expect(output).toMatch(/code 0\r?\n/u);
  const after = output.slice(output.indexOf(LEFT));
  expect(output.indexOf(LEFT)).toBeGreaterThan(output.indexOf('\u001b[?1049h'));
  expect(after).toMatch(/ icanon/u);
  expect(after).toMatch(/ echo /u);
});

test('an agent that ends is told and waited for; q ends it', async () => {
  const first = await cli.startAgent(['--gateway', 'press-1']);
  const window = watchIn('--interval', '200ms');
  await window.until(/gateway {3}press-1/u);
  await first.agent.stop();
  await window.until(/what follows is .* old: /u);
  const { agent } = await cli.startAgent(['--gateway', 'press-1']);
  await window.until(new RegExp(`process ${agent.pid}\\b`, 'u'));
  window.type('q');
  await window.until(/code \d+\r?\n/u);
  expect(window.output).toMatch(/code 0\r?\n/u);
});

test('a signal gives the terminal back, too', async () => {
  await cli.startAgent();
  const window = watchIn();
  await window.until(/gateway {3}/u);
  const tty = readFileSync(path.join(cli.folder, 'tty'), 'utf8').trim().replace('/dev/', '');
  const { stdout } = await runChecked({ command: 'ps', args: ['-t', tty, '-o', 'pid=,args='] });
  const [, pid] = /^\s*(\d+) \S*node\b.* status --watch/mu.exec(stdout) ?? [];
  process.kill(Number(pid), 'SIGTERM');
  await window.until(/code 0\r?\n/u);
  expect(window.output).toContain(LEFT);
});

test('without an agent it takes no screen', async () => {
  const window = watchIn();
  await window.until(/\ncode \d+/u);
  expect(window.output).not.toContain('\u001b[?1049h');
  expect(window.output).toMatch(/gatelog: .*gatelog-data/u);
});

test('without a terminal it says what works there: a line of JSON each time, until the agent ends', async () => {
  expect(await cli.run(['status', '--watch'])).toMatchObject({
    code: 64,
    stderr: expect.stringMatching(/there is none here; --json --watch writes a line each time/u),
  });
  expect(await cli.run(['status', '--watch', '--interval', '1ms'])).toMatchObject({
    code: 64,
    stderr: expect.stringMatching(/--interval: expected a duration from 200ms to 1h/u),
  });
  const { agent } = await cli.startAgent(['--gateway', 'press-1']);
  const lines = await cli.start(['status', '--watch', '--json', '--interval', '200ms']);
  await lines.waitFor(/"gateway":"press-1"[^]*\n[^]*"gateway":"press-1"/u);
  await agent.stop();
  expect(await lines.exited).toMatchObject({ code: 69 });
});
