import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ControlClient } from '../../src/admin/control-client.ts';
import { DemoRig, figure } from '../support/demo-rig.ts';
import { WAIT_MS } from '../support/terminal.ts';

/** `gatelog demo` as a person runs it: real agents, real MQTT, with and without a terminal. */
const CLEAN = /clean: every acknowledged reading is in the central log exactly once, in order/u;
let rig: DemoRig;

beforeEach(async () => {
  rig = await DemoRig.open();
});

afterEach(async () => {
  await rig.close();
});

describe('the demo without a terminal', () => {
  test('runs for a while, prints lines, and ends with a clean report and code 0', async () => {
    const running = await rig.run('--for', '5s');
    expect(await running.exited).toEqual({ code: 0, signal: null });
    const output = running.stdout();
    expect(output).toMatch(/^\d\d:\d\d:\d\d {2}edge agent runs on mqtt:\/\/127\.0\.0\.1:\d+$/mu);
    expect(output).toMatch(/^\d\d:\d\d:\d\d {2}in \d+ msg\/s {2}acknowledged \d+ /mu);
    expect(output).toMatch(CLEAN);
    expect(output).not.toContain('\u001b');
    expect(figure(output, 'readings acknowledged')).toBeGreaterThan(100);
    expect(figure(output, 'records arrived')).toBe(figure(output, 'records in the folder'));
    expect(running.stderr()).toBe('');
  });

  test('an agent killed from outside is started again, and a later run goes on', async () => {
    const first = await rig.run('--for', '12s');
    await first.waitFor(/in \d+ msg\/s/u, WAIT_MS);
    const { pid } = await new ControlClient(join(rig.folder, 'edge')).status();
    process.kill(pid, 'SIGKILL');
    expect(await first.exited).toEqual({ code: 0, signal: null });
    expect(first.stdout()).toContain('edge agent ended by SIGKILL, restarting');
    expect(first.stdout()).toContain('edge agent is back');
    expect(first.stdout()).toMatch(CLEAN);

    const second = await rig.run('--for', '3s');
    expect(await second.exited).toEqual({ code: 0, signal: null });
    const before = figure(first.stdout(), 'records in the folder');
    expect(figure(second.stdout(), 'records?\n')).toBe(before);
    expect(figure(second.stdout(), 'records in the folder')).toBeGreaterThan(before);
    expect(second.stdout()).toMatch(CLEAN);
  });

  test('SIGTERM ends it well', async () => {
    const running = await rig.run();
    await running.waitFor(/in \d+ msg\/s {2}acknowledged [1-9]/u, WAIT_MS);
    running.signal('SIGTERM');
    expect(await running.exited).toEqual({ code: 0, signal: null });
    expect(running.stdout()).toMatch(CLEAN);
  });

  test('when the demo itself is killed, its agents stop and the next run goes on', async () => {
    const first = await rig.run();
    await first.waitFor(/in \d+ msg\/s {2}acknowledged [1-9]/u, WAIT_MS);
    const agents = await rig.agentPids();
    await first.kill();
    await expect.poll(() => agents.filter(isAlive), { timeout: WAIT_MS }).toEqual([]);
    const second = await rig.run('--for', '3s');
    expect(await second.exited).toEqual({ code: 0, signal: null });
    expect(second.stdout()).toMatch(CLEAN);
  });

  test('a second demo on the same folder is refused and does not disturb the first', async () => {
    const first = await rig.run();
    await first.waitFor(/in \d+ msg\/s {2}acknowledged [1-9]/u, WAIT_MS);
    const second = await rig.run('--for', '2s');
    expect(await second.exited).toEqual({ code: 75, signal: null });
    expect(second.stderr()).toContain(`another demo runs on ${rig.folder}`);
    first.signal('SIGTERM');
    expect(await first.exited).toEqual({ code: 0, signal: null });
    expect(first.stdout()).toMatch(CLEAN);
    expect(first.stdout()).not.toContain('restarting');
  });

  test('a taken port is said, and the next one used', async () => {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    try {
      const running = await rig.run('--port', String(port), '--for', '1s');
      expect(await running.exited).toEqual({ code: 0, signal: null });
      expect(running.stdout()).toContain(`(${port} is taken)`);
    } finally {
      server.close();
    }
  });

  test.each([
    [['--for', 'soon'], 64, 'gatelog: --for: expected a duration such as 30s or 5m, found "soon"'],
    [['--kafka', 'nowhere'], 64, 'gatelog: --kafka: expected HOST:PORT,HOST:PORT, found "nowhere"'],
    [['--port', '0x'], 64, 'gatelog: --port: expected a port from 1 to 65535'],
    [['--data', '/dev/null/x'], 74, "gatelog: the demo's folder /dev/null/x can't be used"],
  ])('%j is refused with code %d', async (args, code, message) => {
    const running = await rig.run(...args);
    expect(await running.exited).toEqual({ code, signal: null });
    expect(running.stderr()).toContain(message);
  });
});

describe('the demo on a terminal', () => {
  test('cut, restore, kill, black hole, kill the central, faster: clean all the same', async () => {
    const terminal = rig.open();
    await terminal.until(/mirror (?:live|catching up)/u);
    terminal.type('c');
    await terminal.until(/link cut by you[\s\S]*backing off/u);
    terminal.type('k');
    await terminal.until(/edge agent killed \(SIGKILL\), restarting[\s\S]*edge agent is back/u);
    terminal.type('c');
    await terminal.until(/link restored by you[\s\S]*caught up in [\d.]+ s: \d+ records?/u);
    terminal.type('b+++');
    await terminal.until(/black hole: nothing comes through[\s\S]*sensors measure ×10/u);
    terminal.type('kb');
    await terminal.until(/killed[\s\S]*killed[\s\S]*is back[\s\S]*is back/u);
    terminal.type('K');
    await terminal.until(/central killed \(SIGKILL\), restarting[\s\S]*central is back/u);
    terminal.type('p');
    await terminal.until(/sensors paused by you/u);
    terminal.type('q');
    await terminal.until(/\ncode \d+[\s\S]*isig/u);
    const { output } = terminal;
    expect(output).toMatch(CLEAN);
    expect(output).toMatch(/\ncode 0\r?\n/u);
    expect(figure(output, 'records arrived')).toBe(figure(output, 'records in the folder'));
    // The alternate screen was left before the report, the cursor shown, the line discipline reset.
    const left = output.lastIndexOf('\u001b[?1049l');
    expect(left).toBeGreaterThan(output.lastIndexOf('\u001b[?1049h'));
    expect(output.indexOf('Verify report')).toBeGreaterThan(left);
    expect(output.slice(left - 20, left)).toContain('\u001b[?25h');
    expect(output.slice(left)).toMatch(/ icanon/u);
    expect(output.slice(left)).toMatch(/ echo /u);
  });

  test('with the link cut it ends saying what waits, code 1; the next run delivers it', async () => {
    const terminal = rig.open();
    await terminal.until(/mirror (?:live|catching up)/u);
    terminal.type('c');
    await terminal.until(/link cut by you[\s\S]*backing off/u);
    terminal.type('\u0003');
    await terminal.until(/\ncode \d+/u);
    expect(terminal.output).toMatch(
      /not complete: nothing is lost; left for the next run: \d+ records?/u,
    );
    expect(terminal.output).toMatch(/\ncode 1\r?\n/u);
    const next = await rig.run('--for', '2s');
    expect(await next.exited).toEqual({ code: 0, signal: null });
    expect(next.stdout()).toMatch(CLEAN);
    expect(figure(next.stdout(), 'records arrived')).toBe(
      figure(next.stdout(), 'records in the folder'),
    );
  });

  test('closing the window ends it well: agents stopped in good order, next run clean', async () => {
    const terminal = rig.open();
    await terminal.until(/mirror (?:live|catching up)/u);
    const agents = await rig.agentPids();
    await terminal.close();
    await expect.poll(() => agents.filter(isAlive), { timeout: WAIT_MS }).toEqual([]);
    for (const name of ['edge', 'central']) {
      expect(await readFile(join(rig.folder, `${name}.log`), 'utf8')).toContain('"agent.stopped"');
    }
    const next = await rig.run('--for', '2s');
    expect(await next.exited).toEqual({ code: 0, signal: null });
    expect(next.stdout()).toMatch(CLEAN);
  });

  test('the terminal is given back even when the program crashes', async () => {
    const screen = new URL('../../src/cli/screen.ts', import.meta.url).href;
    const program = `
      const { Screen } = await import(${JSON.stringify(screen)});
      const nothing = () => {};
      const options = { onKey: nothing, onResize: nothing, onGone: nothing };
      new Screen({ input: process.stdin, output: process.stdout, ...options }).enter();
      setTimeout(() => { throw new Error('crashed on purpose'); }, 100);
    `;
    const terminal = rig.openProgram('--input-type=module', '--eval', program);
    await terminal.until(/\ncode \d+[\s\S]*isig/u);
    const { output } = terminal;
    expect(output).toContain('crashed on purpose');
    expect(output).toMatch(/\ncode 1\r?\n/u);
    const left = output.indexOf('\u001b[?1049l');
    expect(left).toBeGreaterThan(output.indexOf('\u001b[?1049h'));
    expect(output.slice(left)).toMatch(/ icanon/u);
    expect(output.slice(left)).toMatch(/ echo /u);
  });
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
