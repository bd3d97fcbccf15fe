import { pause } from '../hunt/wait.ts';
import {
  type AttackSize,
  churn,
  halfOpen,
  retainedBomb,
  slowloris,
  subscriptionBomb,
  takeovers,
} from './attacks.ts';
import { type Service, Target } from './target.ts';

export interface AttackReport {
  readonly halfOpen: number;
  readonly slowEnded: number;
  readonly churnsPerSecond: number;
  readonly filtersGranted: number;
  readonly retained: number;
  readonly takeovers: number;
  readonly kiBBefore: number;
  /** The most during each attack. */
  readonly peakKiB: Readonly<Record<string, number>>;
  readonly service: Service;
}

/** One attack after the other against a real agent, an innocent client publishing throughout. */
export async function attackAgent(folder: string, size: AttackSize): Promise<AttackReport> {
  const target = await Target.start(folder, '  maxConnections: 12000\n');
  const { port } = target;
  const kiBBefore = target.memoryKiB();
  const peakKiB: Record<string, number> = {};
  const during = async (
    name: string,
    attack: (port: number, size: AttackSize) => Promise<number>,
  ): Promise<number> => {
    target.takePeakKiB();
    const result = await attack(port, size);
    await pause(200);
    peakKiB[name] = target.takePeakKiB();
    if (!target.alive) throw new Error(`the agent ended: ${name}`);
    return result;
  };
  try {
    const report = {
      halfOpen: await during('halfOpen', halfOpen),
      slowEnded: await during('slowloris', slowloris),
      churnsPerSecond: await during('churn', churn),
      filtersGranted: await during('subscriptions', subscriptionBomb),
      retained: await during('retained', retainedBomb),
      takeovers: await during('takeovers', takeovers),
    };
    const service = await target.service();
    await target.stop();
    return { ...report, kiBBefore, peakKiB, service };
  } finally {
    await target.kill();
  }
}
