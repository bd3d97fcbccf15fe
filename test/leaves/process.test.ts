import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { isAlive, runChecked, runProcess, startProcess } from '../support/process.ts';

const node = process.execPath;
const PROCESS = join(import.meta.dirname, '../support/process.ts');
const FOR_EVER = 'setInterval(() => {}, 1000)';

/** A starter whose child runs for ever, and the child's pid as it printed it. */
async function starter(then: string): Promise<{ kill: () => Promise<unknown>; child: number }> {
  const script = `
    import { startProcess } from ${JSON.stringify(PROCESS)};
    const child = await startProcess({ command: process.execPath, args: ['-e', '${FOR_EVER}'] });
    console.log('child ' + child.pid + '.');
    ${then}`;
  const running = await startProcess({
    command: node,
    args: ['--input-type=module', '-e', script],
  });
  const [, pid] = await running.waitFor(/child (\d+)\./);
  return { kill: () => running.kill(), child: Number(pid) };
}

describe('child processes of the tests', () => {
  it('gives output and exit code, and rejects on request', async () => {
    const spec = { command: node, args: ['-e', 'console.log("out"); process.exitCode = 3'] };
    expect(await runProcess(spec)).toMatchObject({ code: 3, stdout: 'out\n', stderr: '' });
    await expect(runChecked(spec)).rejects.toThrow('ended with 3');
  });

  it('hands input over', async () => {
    const args = ['-e', 'process.stdin.pipe(process.stdout)'];
    expect((await runChecked({ command: node, args, input: 'in\n' })).stdout).toBe('in\n');
  });

  it('says what a process said when a wait is in vain', async () => {
    const child = await startProcess({ command: node, args: ['-e', 'console.log("other")'] });
    await expect(child.waitFor(/never/)).rejects.toThrow(/the process ended; it said:\nother/);
  });

  it('waits for whole lines, and at the end for what has none', async () => {
    const script = `process.stdout.write('heard');
      setTimeout(() => process.stdout.write(' all\\nlast'), 200)`;
    const child = await startProcess({ command: node, args: ['-e', script] });
    expect((await child.waitFor(/^heard.*$/mu))[0]).toBe('heard all');
    expect((await child.waitFor(/^last$/mu))[0]).toBe('last');
  });

  it('names a command that does not exist', async () => {
    const result = await runProcess({ command: '/no/such/program' }).catch(String);
    expect(JSON.stringify(result)).toContain('/no/such/program');
  });

  it('stops by SIGTERM, by SIGKILL when that is ignored, and a stopped one too', async () => {
    const plain = await startProcess({ command: node, args: ['-e', FOR_EVER] });
    expect(await plain.stop()).toEqual({ code: null, signal: 'SIGTERM' });
    const deaf = await startProcess({
      command: node,
      args: ['-e', `process.on('SIGTERM', () => {}); ${FOR_EVER}; console.log('up')`],
    });
    await deaf.waitFor(/up/);
    expect(await deaf.stop(100)).toEqual({ code: null, signal: 'SIGKILL' });
    const asleep = await startProcess({ command: node, args: ['-e', FOR_EVER] });
    asleep.signal('SIGSTOP');
    expect(await asleep.stop()).toEqual({ code: null, signal: 'SIGTERM' });
  });

  it('leaves no child behind when the starter crashes, or is killed outright', async () => {
    const crashing = await starter('throw new Error("crash")');
    await expect.poll(() => isAlive(crashing.child)).toBe(false);
    const killed = await starter(FOR_EVER);
    expect(isAlive(killed.child)).toBe(true);
    await killed.kill();
    await expect.poll(() => isAlive(killed.child)).toBe(false);
  });
});
