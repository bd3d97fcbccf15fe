import { must } from '../../src/assert.ts';
import { LinkPolicy } from '../../src/mirror/policy/link-policy.ts';
import type { MeteredAction } from '../../src/mirror/policy/metered.ts';
import type { Network } from '../../src/mirror/policy/network.ts';
import type { LinkRules } from '../../src/mirror/policy/policy-options.ts';
import { CLASSES, type TopicClass } from '../../src/mirror/selection.ts';
import type { Random } from '../../src/random.ts';
import type { KeyValue } from '../../src/store/log.ts';
import { silentLogger } from '../../src/telemetry.ts';
import type { Clock } from '../../src/time.ts';

/** What a simulated machine tells of its network and its clock; both change under a run. */
export class ShiftyLink implements Network {
  isMetered: boolean = false;
  isClockSound: boolean = true;

  routes(): ReturnType<Network['routes']> {
    const device = this.isMetered ? 'wwan0' : 'eth0';
    const ipv4 = `Iface\n${device}\t00000000\t0100000A\t0003\t0\t0\t1\t00000000\n`;
    return Promise.resolve({ ipv4, ipv6: '' });
  }

  localAddressTo(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  interfaceOf(): undefined {
    // The simulated connections have no addresses.
  }

  askMetered(): Promise<undefined> {
    return Promise.resolve(undefined);
  }
}

/** Another policy at every start, as if a person had changed the configuration. */
export function randomPolicy(
  random: Random,
  parts: { readonly space: KeyValue; readonly clock: Clock; readonly link: ShiftyLink },
): Promise<LinkPolicy> {
  const chance = (probability: number): boolean => random.next() < probability;
  const oneOf = <T>(choices: readonly T[]): T =>
    must(choices[Math.floor(random.next() * choices.length)], 'below its length');
  const some = (): TopicClass[] => CLASSES.filter(() => chance(0.5));
  const bound = some();
  const rules: LinkRules = {
    bitsPerSecond: chance(0.5) ? 8000 + random.next() * 200_000 : undefined,
    // A few minutes after the begin of a run a new period begins.
    budgets: chance(0.7)
      ? [{ bytes: 20_000 + random.next() * 40_000, per: 'hour', resets: 2, exempt: some() }]
      : [],
    windows: chance(0.5)
      ? [{ from: '*/2 * * * *', forMs: 60_000, classes: bound.length === 0 ? undefined : bound }]
      : [],
    metered: chance(0.7)
      ? {
          interfaces: ['wwan*'],
          networkManager: false,
          action: oneOf<MeteredAction>(['alarms-only', 'sample', { capBitsPerSecond: 16_000 }]),
        }
      : undefined,
    zone: 'UTC',
  };
  const { space, clock, link } = parts;
  return LinkPolicy.load({
    name: 'central',
    rules,
    samples: true,
    space,
    clock,
    isClockSound: () => link.isClockSound,
    logger: silentLogger,
    askKernel: () => Promise.resolve(undefined),
    network: link,
  });
}
