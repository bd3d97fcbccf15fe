import { LinkPolicy } from '../../../src/mirror/policy/link-policy.ts';
import type { AskKernel } from '../../../src/mirror/policy/kernel-sockets.ts';
import type { LinkRules } from '../../../src/mirror/policy/policy-options.ts';
import { CLASSES, treatmentOf, type TopicPattern } from '../../../src/mirror/selection.ts';
import type { Mirror } from '../../../src/mirror/mirror.ts';
import { silentLogger, type Logger } from '../../../src/telemetry.ts';
import type { SimulatedUpstreamOptions } from '../../support/simulated-upstream.ts';
import { WiredUpstream } from '../../support/wired-upstream.ts';
import { rig, type Rig } from '../mirror-rig.ts';
import { memorySpace, type MemorySpace } from './memory-space.ts';

export interface PolicyRig extends Rig {
  readonly wired: WiredUpstream;
  readonly space: MemorySpace;
  /** A mirror with a policy on the same log and budgets, as after a restart. */
  readonly start: (rules: Partial<LinkRules>, more?: PolicyRigOptions) => Promise<Mirror>;
}

export interface PolicyRigOptions {
  readonly isClockSound?: () => boolean;
  readonly logger?: Logger;
  readonly network?: Parameters<typeof LinkPolicy.load>[0]['network'];
  readonly topics?: readonly TopicPattern[];
}

const NO_KERNEL: AskKernel = () => Promise.resolve(undefined);

export const NO_RULES: LinkRules = {
  bitsPerSecond: undefined,
  budgets: [],
  windows: [],
  metered: undefined,
  zone: 'UTC',
};

export function policyRig(upstream: Partial<SimulatedUpstreamOptions> = {}): PolicyRig {
  const made = rig();
  const { clock } = made;
  const wired = new WiredUpstream({ clock, exactlyOnce: true, ...upstream });
  const space = memorySpace();
  const start = async (rules: Partial<LinkRules>, more: PolicyRigOptions = {}): Promise<Mirror> => {
    const { isClockSound = () => true, logger = silentLogger, network, topics = TOPICS } = more;
    const policy = await LinkPolicy.load({
      name: 'central',
      rules: { ...NO_RULES, ...rules },
      samples: topics.some((rule) => treatmentOf(rule).sample !== undefined),
      space,
      clock,
      isClockSound,
      logger,
      askKernel: NO_KERNEL,
      ...(network === undefined ? {} : { network }),
    });
    wired.wire = policy.wire;
    const mirror = made.again({ upstream: wired, policy, topics, logger });
    await clock.settled(mirror.start());
    return mirror;
  };
  const texts = (): string[] =>
    wired.delivered.map(({ record }) => Buffer.from(record.value ?? []).toString());
  return { ...made, upstream: wired, texts, wired, space, start };
}

/** Of the class that they are named after; all others are normal. */
const TOPICS: readonly TopicPattern[] = [
  ...CLASSES.map((name) => ({ match: name, class: name, drain: 'backlog-first' as const })),
  '*',
];
