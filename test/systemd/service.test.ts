import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { InstalledService } from './installed-service.ts';

/** The unit under a real systemd, in a Debian of its own. The tests stand on one another. */
let service: InstalledService;

const USERS = ["users: [{username: anna, password: '${credential:anna}'}]"];

beforeAll(async () => {
  service = await InstalledService.install();
  service.configure(USERS);
  service.setCredential('anna', 'first\n');
}, 600_000);

afterAll(async () => {
  await service?.remove();
}, 120_000);

/** As a sentence of systemd, for a failure of the test that tells why. */
async function activeOrJournal(): Promise<string> {
  const state = await service.property('ActiveState');
  return state === 'active' ? state : service.journal();
}

describe('the unit', () => {
  test('is verified without a word', async () => {
    const { stdout, stderr } = await service.debian.check([
      'systemd-analyze',
      'verify',
      // There is no man in here; test/package looks at the pages.
      '--man=no',
      '/usr/lib/systemd/system/gatelog.service',
    ]);
    // Debian 12's systemd does not know back-off, and says so of that file.
    const words = `${stdout}${stderr}`
      .split('\n')
      .filter((line) => line !== '' && !line.includes('backoff.conf'));
    expect(words).toEqual([]);
  });

  test('is hardened', async () => {
    const { stdout } = await service.debian.check([
      'systemd-analyze',
      'security',
      '--no-pager',
      'gatelog.service',
    ]);
    const score = Number(
      /Overall exposure level for gatelog\.service: ([\d.]+)/u.exec(stdout)?.[1],
    );
    expect(score).toBeLessThanOrEqual(1.5);
    process.stdout.write(`systemd-analyze security: ${score}\n`);
  });
});

describe('a start', () => {
  test('is over when devices may connect, with a secret that only root can read', async () => {
    const started = await service.systemctl('start');
    // At once: nothing is waited for.
    await service.publish(10, 'anna', 'first');
    expect(started.code).toBe(0);
    expect(await service.property('StatusText')).toMatch(/^\d+ connections?$/u);
    const { stdout } = await service.debian.check(['ls', '-l', '/etc/gatelog/credentials/anna']);
    expect(stdout).toMatch(/^-rw------- 1 root root/u);
    expect(await service.property('User')).toBe('gatelog');
  });

  test('has sockets for its own user and group, and to be steered by its user alone', async () => {
    const modeOf = async (file: string): Promise<string> =>
      (await service.debian.check(['stat', '--format=%A %U:%G', file])).stdout.trim();
    expect(await modeOf('/run/gatelog/mqtt.sock')).toBe('srw-rw---- gatelog:gatelog');
    expect(await modeOf('/var/lib/gatelog/agent.sock')).toBe('srw------- gatelog:gatelog');
    expect(await modeOf('/var/lib/gatelog')).toBe('drwx------ gatelog:gatelog');
  });

  test('is in the journal, and nothing there is to be seen to', async () => {
    const journal = await service.journal();
    expect(journal).toMatch(/gateway gw-boot is ready/u);
    // Of those two, and of nothing else, Debian 12's systemd says that it does not know them.
    const warned = journal
      .split('\n')
      .filter((line) => /systemd\[|\(node\)/u.test(line) && /ignoring|different|fail/iu.test(line));
    expect(warned.filter((line) => !/Restart(?:Steps|MaxDelaySec)/u.test(line))).toEqual([]);
  });
});

describe('a reload', () => {
  test('has taken what changed when it returns, and says what needs a restart', async () => {
    service.configure(
      ['users: [{username: anna, password: second}]'],
      'log: {level: debug}\nstore: {segment: 1MiB}',
    );
    const { code, stderr } = await service.systemctl('reload');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    await expect(service.connect('anna', 'first')).rejects.toThrow(/authorized|password/iu);
    await service.publish(1, 'anna', 'second');
    expect(await service.property('StatusText')).toContain('needs a restart for store.segment');
    expect(await service.journal()).toMatch(/needs a restart: store\.segment/u);
    expect(await service.restarts()).toBe(0);
  });

  test('of a wrong configuration fails, says where, and changes nothing', async () => {
    service.configure(['users: [{username: anna, password: third}]', 'maxPacket: huge']);
    const { code } = await service.systemctl('reload');
    expect(code).not.toBe(0);
    expect(await service.journal()).toMatch(/gatelog\.yaml:\d+:\d+: mqtt\.maxPacket/u);
    expect(await activeOrJournal()).toBe('active');
    await service.publish(1, 'anna', 'second');
  });

  test('by a signal does the same', async () => {
    service.configure(['users: [{username: anna, password: fourth}]']);
    await service.systemctl('kill', '--signal=HUP', '--kill-whom=main');
    await expect
      .poll(() =>
        service.publish(1, 'anna', 'fourth').then(
          () => true,
          () => false,
        ),
      )
      .toBe(true);
    expect(await activeOrJournal()).toBe('active');
  });
});

describe('the watchdog', () => {
  test('kills an agent that stands still, and it comes back with everything', async () => {
    await service.dropIn(['WatchdogSec=4s', 'RestartSec=500ms']);
    await service.systemctl('restart');
    await service.publish(20, 'anna', 'fourth');
    const before = await service.records();
    await service.systemctl('kill', '--signal=STOP', '--kill-whom=main');
    await expect.poll(() => service.restarts(), { timeout: 60_000 }).toBe(1);
    await expect.poll(() => service.property('ActiveState'), { timeout: 60_000 }).toBe('active');
    expect(await service.journal()).toMatch(/Watchdog timeout/u);
    await service.publish(1, 'anna', 'fourth');
    expect(await service.records()).toBe(before + 1);
  });

  test('lets an agent be that has nothing to do', async () => {
    const pid = await service.property('MainPID');
    await new Promise((resolve) => setTimeout(resolve, 10_000));
    expect(await service.property('MainPID')).toBe(pid);
  });
});

describe('an end', () => {
  test('of its own is followed by another start', async () => {
    const before = await service.restarts();
    await service.systemctl('kill', '--signal=KILL', '--kill-whom=main');
    await expect.poll(() => service.restarts(), { timeout: 60_000 }).toBe(before + 1);
    await expect.poll(() => service.property('ActiveState'), { timeout: 60_000 }).toBe('active');
  });

  test('by systemctl stop is clean, with devices connected and an upstream that is silent', async () => {
    service.configure(
      ['users: [{username: anna, password: fourth}]'],
      'mirrors: {central: {kafka: {brokers: ["192.0.2.1:9092"]}}}',
    );
    await service.systemctl('restart');
    const client = await service.connect('anna', 'fourth');
    await client.publishAsync('anna/last', 'words', { qos: 1 });
    const { code } = await service.systemctl('stop');
    expect(code).toBe(0);
    expect(await service.property('Result')).toBe('success');
    expect(await service.property('ExecMainStatus')).toBe('0');
    expect(await service.property('ActiveState')).toBe('inactive');
    await client.endAsync(true);
  });

  test('and a reboot: it comes by itself, and has everything', async () => {
    await service.debian.check(['systemctl', 'enable', 'gatelog.service']);
    await service.systemctl('start');
    await service.publish(50, 'anna', 'fourth');
    const before = await service.records();
    await service.debian.reboot();
    await expect.poll(() => service.property('ActiveState'), { timeout: 60_000 }).toBe('active');
    await service.publish(1, 'anna', 'fourth');
    expect(await service.records()).toBe(before + 1);
  });
});
