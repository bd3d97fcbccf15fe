import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { InstalledService } from './installed-service.ts';

/** What docs/logs.md says of the journal, as a real one has it. */
interface Entry {
  readonly PRIORITY: string;
  readonly MESSAGE: string;
  readonly SYSLOG_IDENTIFIER: string;
  readonly _SYSTEMD_UNIT: string;
}
interface Fields {
  readonly event?: string;
  readonly repeated?: number;
  readonly [name: string]: unknown;
}
const COUNT = 40;
const SAME_LINES = 10;
let service: InstalledService;

beforeAll(async () => {
  service = await InstalledService.install();
  service.configure(["users: [{username: anna, password: 'word'}]"]);
  await service.systemctl('start');
  await service.connect('anna', 'wrong').catch(() => {});
  for (let count = 0; count < COUNT; count++) await service.publish(1, 'anna', 'word');
  await service.systemctl('reload');
  service.configure(['maxPacket: huge']);
  await service.systemctl('reload');
  await service.systemctl('stop');
}, 600_000);
afterAll(async () => {
  await service?.remove();
}, 120_000);

/** Of the agent, and not of systemd about it. */
async function entries(...filter: readonly string[]): Promise<Entry[]> {
  const args = ['journalctl', '--output=json', '--no-pager', '--unit=gatelog.service', ...filter];
  const { stdout } = await service.debian.check(args);
  const all = stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Entry);
  return all.filter(({ _SYSTEMD_UNIT: unit }) => unit === 'gatelog.service');
}

/** The JSON behind the text. */
function fieldsOf({ MESSAGE: message }: Entry): Fields {
  const [, json = '{}'] = /^[^{]* (\{.*\})$/u.exec(message) ?? [];
  return JSON.parse(json) as Fields;
}

/** Of the agent's lines: what `gatelog reload` says is said by a command, in words alone. */
function eventsOf(found: readonly Entry[]): Set<string | undefined> {
  const own = found.filter(({ MESSAGE: message }) => !message.startsWith('gatelog: '));
  return new Set(own.map((entry) => fieldsOf(entry).event));
}

describe('the journal', () => {
  test('has every line under the name of the agent', async () => {
    const names = new Set((await entries()).map((entry) => entry.SYSLOG_IDENTIFIER));
    expect([...names]).toEqual(['gatelog']);
  });

  test('finds what matters by its priority', async () => {
    const warned = await entries('--priority=warning');
    expect(eventsOf(warned)).toEqual(
      new Set(['config.warning', 'login.refused', 'config.refused']),
    );
    const priorities = warned.map((entry) => [fieldsOf(entry).event, entry.PRIORITY]);
    expect(priorities).toContainEqual(['login.refused', '4']);
    expect(priorities).toContainEqual(['config.refused', '3']);
    expect(eventsOf(await entries('--priority=err'))).toEqual(new Set(['config.refused']));
    const told = await entries('--priority=info..info');
    for (const event of ['agent.ready', 'config.reloaded', 'agent.stopped']) {
      expect(eventsOf(told)).toContain(event);
    }
  });

  test('finds an event by its name, as docs/logs.md says', async () => {
    const found = await entries('--grep="event":"login.refused"');
    expect(found).toHaveLength(1);
    expect(found.map(fieldsOf)).toEqual([
      expect.objectContaining({ event: 'login.refused', user: 'anna' }),
    ]);
  });

  test('has a text before the fields, and neither level nor time in it', async () => {
    for (const entry of await entries()) {
      expect(entry.MESSAGE).toMatch(/^[^<{\s]/u);
      expect(fieldsOf(entry)).not.toHaveProperty('level');
      expect(fieldsOf(entry)).not.toHaveProperty('time');
    }
  });

  test('has what repeats itself so many times, and then counted', async () => {
    const told = (await entries())
      .map(fieldsOf)
      .filter(({ event }) => event === 'client.connected');
    const counted = told.filter(({ repeated }) => repeated !== undefined);
    const sum = counted.reduce((all, { repeated = 0 }) => all + repeated, 0);
    expect(counted.length).toBeGreaterThan(0);
    // A minute may end in between, and begins anew.
    const windows = counted.length + 1;
    expect(told.length - counted.length).toBeLessThanOrEqual(SAME_LINES * windows);
    expect(told.length - counted.length + sum).toBe(COUNT);
  });
});
