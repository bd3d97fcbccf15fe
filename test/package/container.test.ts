import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ROOT } from '../../deploy/package/production-modules.ts';
import { toolFile } from '../setup/tools.mjs';
import { debianBase } from '../support/debian-root.ts';
import { type Finished, type Running, runChecked, startProcess } from '../support/process.ts';
import { putPackage } from './built-packages.ts';

/**
 * deploy/container/Containerfile, built by buildah, which wants no daemon. Nothing is fetched from a registry: the
 * image that it begins with is a Debian of debootstrap's under that name.
 */
const FILE = 'deploy/container/Containerfile';
const BEGINS_WITH = 'docker.io/library/debian:12-slim';
const IMAGE = 'localhost/gatelog';
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'gatelog-container-'));
  const base = await debianBase({ include: ['ca-certificates'] });
  const tar = path.join(folder, 'base.tar');
  await runChecked({ command: 'tar', args: ['--create', '--file', tar, '--directory', base, '.'] });
  const scratch = (await buildah('from', 'scratch')).stdout.trim();
  await buildah('add', '--quiet', scratch, tar, '/');
  await buildah('commit', '--quiet', '--rm', scratch, BEGINS_WITH);
  await putPackage(path.join(folder, 'packages'), { architecture: 'amd64' });
  mkdirSync(path.join(folder, path.dirname(FILE)), { recursive: true });
  copyFileSync(path.join(ROOT, FILE), path.join(folder, FILE));
  const how = ['--isolation', 'chroot', '--network', 'host', '--pull-never', '--format', 'docker'];
  await buildah('build', ...how, '--tag', IMAGE, '--file', path.join(folder, FILE), folder);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function spec(args: readonly string[]): { command: string; args: readonly string[] } {
  const storage = ['--storage-driver', 'vfs', '--root', path.join(folder, 'images')];
  const all = [...storage, '--runroot', path.join(folder, 'run'), ...args];
  return { command: toolFile('buildah'), args: all };
}

function buildah(...args: readonly string[]): Promise<Finished> {
  return runChecked(spec(args), 300_000);
}

interface Image {
  readonly User: string;
  readonly Entrypoint: readonly string[];
  readonly Cmd: readonly string[];
  readonly StopSignal: string;
  readonly Healthcheck: { readonly Test: readonly string[] };
}

async function image(): Promise<Image> {
  const { stdout } = await buildah('inspect', '--type', 'image', IMAGE);
  return (JSON.parse(stdout) as { Docker: { config: Image } }).Docker.config;
}

test('it runs as it says, as nobody of weight, tells its health and ends in good order', async () => {
  const { User, Entrypoint, Cmd, StopSignal, Healthcheck } = await image();
  expect(User).toBe('900:900');
  const [kind, ...asked] = Healthcheck.Test;
  expect(kind).toBe('CMD');
  const name = (await buildah('from', '--pull-never', IMAGE)).stdout.trim();
  const inside = ['run', '--isolation', 'chroot', name, '--'];
  // A loopback of its own, and this process's view of processes: buildah hands on no signal but SIGKILL.
  const lone = spec([...inside, ...Entrypoint, ...Cmd]);
  const up = 'ip link set lo up && exec "$@"';
  const args = ['--net', 'sh', '-c', up, 'sh', lone.command, ...lone.args];
  const running: Running = await startProcess({ command: 'unshare', args });
  await running.waitFor(/agent\.ready/u, 60_000);
  const { stdout } = await buildah(...inside, ...asked);
  const status = JSON.parse(stdout) as { pid: number; degraded: null; listeners: string[] };
  expect(status).toMatchObject({ degraded: null, listeners: ['mqtt://127.0.0.1:1883'] });
  const ids = await buildah(...inside, 'stat', '--format=%u:%g', `/proc/${status.pid}`);
  expect(ids.stdout.trim()).toBe(User);
  process.kill(status.pid, StopSignal);
  expect(await running.exited).toEqual({ code: 0, signal: null });
  expect(running.stdout()).toMatch(/agent\.stopped/u);
});

test('its file leaves nothing of the making behind', async () => {
  const name = (await buildah('from', '--pull-never', IMAGE)).stdout.trim();
  const run = ['run', '--isolation', 'chroot', name, '--', 'sh', '-c'];
  const { stdout } = await buildah(...run, 'ls /tmp /var/lib/apt/lists');
  expect(stdout.replaceAll(/^\/.*:$/gmu, '').trim()).toBe('');
});
