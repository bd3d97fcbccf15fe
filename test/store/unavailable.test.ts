import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { mayPass } from '../../src/agent/live-agent.ts';
import { exitCodeOf, type ErrorCode } from '../../src/errors.ts';
import type { StreamId } from '../../src/record.ts';
import { openError } from '../../src/store/level-errors.ts';
import { missingMount } from '../../src/store/presence.ts';
import { faultyEngine, noFaults } from '../support/faulty-engine.ts';
import { MemoryDisk, memoryEngine } from '../support/memory-engine.ts';
import { append, FOREVER, onDisk, type Place } from '../support/store-kit.ts';

/** What keeps a data folder from being opened at all, each with its sentence and exit code. */
let place: Place;

beforeEach(async () => {
  place = await onDisk.make();
});
afterEach(() => place.remove());

const level = (code: string, text: string): Error =>
  Object.assign(new Error('Database failed to open'), {
    code: 'LEVEL_DATABASE_NOT_OPEN',
    cause: Object.assign(new Error(text), { code }),
  });

test.each<readonly [string, Error, ErrorCode, RegExp]>([
  [
    'permissions',
    level('LEVEL_IO_ERROR', 'IO error: /d/LOCK: Permission denied'),
    'STORE_FORBIDDEN',
    /let the user that runs gatelog read and write it/u,
  ],
  [
    'a read-only file system',
    level('LEVEL_IO_ERROR', 'IO error: /d/LOCK: Read-only file system'),
    'STORE_READ_ONLY',
    /mounted read-only; remount it/u,
  ],
  [
    'a full disk',
    level('LEVEL_IO_ERROR', 'IO error: /d/000005.ldb: No space left on device'),
    'STORE_FULL',
    /the disk is full; free space/u,
  ],
  [
    'a quota',
    Object.assign(new Error('EDQUOT: quota'), { code: 'EDQUOT' }),
    'STORE_FULL',
    /the disk is full/u,
  ],
  [
    'a failing disk',
    level('LEVEL_IO_ERROR', 'IO error: /d/CURRENT: Input/output error'),
    'STORE_FAILING',
    /check its cable and health/u,
  ],
  [
    'files',
    level('LEVEL_IO_ERROR', 'IO error: /d/LOG: Too many open files'),
    'STORE_UNAVAILABLE',
    /raise its limits/u,
  ],
  [
    'another process',
    level('LEVEL_LOCKED', 'IO error: lock /d/LOCK: already held'),
    'STORE_LOCKED',
    /in use by another process/u,
  ],
])('%s', (_, cause, code, text) => {
  const error = openError('/d', cause);
  expect(error).toMatchObject({ code, message: expect.stringMatching(text) });
  expect(error.message).not.toContain('\n');
});

describe.each([
  ['No space left on device', 'STORE_FULL'],
  ['Input/output error', 'STORE_FAILING'],
  ['Read-only file system', 'STORE_READ_ONLY'],
] as const)('a first write that fails (%s)', (reason, code) => {
  test.each([
    ['of the state database', { failState: true }],
    ['of the log', { failWrites: 100 }],
  ] as const)('%s, is the same as a folder that can not be opened', async (_, failing) => {
    const engine = faultyEngine(memoryEngine(new MemoryDisk()), {
      ...noFaults(),
      reason,
      ...failing,
    });
    const error: unknown = await place.open({ engine }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code });
    expect(mayPass(error)).toBe(true);
  });

  test('of the positions of a new mirror, may pass too', async () => {
    const faults = { ...noFaults(), reason };
    const engine = faultyEngine(memoryEngine(new MemoryDisk()), faults);
    const store = await place.open({ engine });
    faults.failState = true;
    const positions = store.positions('mirror.new', { pins: true });
    const error: unknown = await positions.catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'STORE_WRITE_FAILED' });
    expect(mayPass(error)).toBe(true);
    await store.close();
  });
});

test('each has an exit code of its own', () => {
  const codes: ErrorCode[] = [
    'STORE_FOREIGN',
    'STORE_FULL',
    'STORE_MISSING',
    'STORE_READ_ONLY',
    'STORE_FAILING',
    'STORE_LOCKED',
    'STORE_FORMAT_NEWER',
    'STORE_FORBIDDEN',
    'CONFIG_INVALID',
    'USAGE',
  ];
  const exits = codes.map((code) => exitCodeOf(code));
  expect(exits).toEqual([65, 71, 72, 73, 74, 75, 76, 77, 78, 64]);
});

describe('whose folder it is', () => {
  test('another gateway’s is refused, and taken over only on purpose', async () => {
    await (await place.open({ gateway: 'press-1' })).close();
    await expect(place.open({ gateway: 'press-2' })).rejects.toMatchObject({
      code: 'STORE_FOREIGN',
      message: expect.stringMatching(
        /belongs to gateway 'press-1' .*and this is gateway 'press-2'.*start it once with --adopt/u,
      ),
    });
    const adopted = await place.open({ gateway: 'press-2', adopt: true });
    expect(adopted.identity.gateway).toBe('press-2');
    await adopted.close();
    await (await place.open({ gateway: 'press-2' })).close();
  });

  test('the host’s name, which nobody chose, gives way to a chosen one: until a mirror ran', async () => {
    const first = await place.open({ gateway: 'host-a', gatewayGiven: false });
    await append(first, first.writer.defineTopic('t', FOREVER).streams[0] as StreamId);
    await first.close();
    const chosen = await place.open({ gateway: 'press-1' });
    expect(chosen.identity).toMatchObject({ gateway: 'press-1', gatewayAssumed: false });
    await chosen.close();
    await expect(place.open({ gateway: 'press-2' })).rejects.toMatchObject({
      code: 'STORE_FOREIGN',
    });
  });

  test('the host’s name that a mirror made known is as good as a chosen one', async () => {
    const first = await place.open({ gateway: 'host-a', gatewayGiven: false });
    await first.positions('mirror.central', { pins: true });
    await first.close();
    await expect(place.open({ gateway: 'press-1' })).rejects.toMatchObject({
      code: 'STORE_FOREIGN',
    });
    // And is chosen, once somebody writes it down.
    await (await place.open({ gateway: 'host-a' })).close();
    const again = await place.open({ gateway: 'host-b', gatewayGiven: false });
    expect(again.identity).toMatchObject({ gateway: 'host-a', gatewayAssumed: false });
    await again.close();
  });

  test('a host that got another name is the same gateway', async () => {
    await (await place.open({ gateway: 'host-a', gatewayGiven: false })).close();
    const renamed = await place.open({ gateway: 'host-b', gatewayGiven: false });
    expect(renamed.identity.gateway).toBe('host-a');
    await renamed.close();
  });

  test('who only looks may look', async () => {
    await (await place.open({ gateway: 'press-1' })).close();
    const looker = await place.open({ readOnly: true });
    expect(looker.identity.gateway).toBe('press-1');
    await looker.close();
  });
});

describe('a disk that is not mounted', () => {
  test('a folder that must exist is not made', async () => {
    const folder = join(place.folder, 'data');
    await mkdir(folder);
    await expect(place.open({ folder, mustExist: true })).rejects.toMatchObject({
      code: 'STORE_MISSING',
    });
    await (await place.open({ folder })).close();
    await (await place.open({ folder, mustExist: true })).close();
  });

  const FSTAB = [
    '# <file system> <mount point> <type> <options> <dump> <pass>',
    'UUID=1 / ext4 defaults 0 1',
    'UUID=2 /mnt/ssd/ ext4 defaults,nofail 0 2',
    'UUID=3 /mnt/by\\040hand ext4 noauto 0 0',
    'UUID=4 none swap sw 0 0',
  ].join('\n');
  const ROOT = '/dev/root / ext4 rw 0 0';

  test.each([
    ['/mnt/ssd', ROOT, '/mnt/ssd'],
    ['/mnt/ssd/gatelog', ROOT, '/mnt/ssd'],
    ['/mnt/ssd/gatelog', `${ROOT}\n/dev/sda1 /mnt/ssd ext4 rw 0 0`, undefined],
    ['/mnt/ssdx/gatelog', ROOT, undefined],
    ['/mnt/by hand/gatelog', ROOT, undefined],
    ['/var/lib/gatelog', ROOT, undefined],
  ])('%s with %j mounted', (folder, mounts, missing) => {
    expect(missingMount(folder, FSTAB, mounts)).toBe(missing);
  });
});
