import path from 'node:path';
import { TRIAL_LIMITS } from '../../trial-limits.ts';
import { Link } from '../demo/link.ts';
import { count } from '../demo/text.ts';
import { flowOf } from '../demo/watch.ts';
import { compare, drained, endCheck, openFleet, promiseChecks } from './devices.ts';
import { between, type Exercise, type ExerciseSettings, holds } from './exercise.ts';
import { RehearsedGateway } from './gateway.ts';

/** The link to a centre (another gatelog on this machine) is cut, and lies silent. */
export const linkExercise: Exercise = {
  name: 'link',
  title: 'the link to the centre drops',
  share: 0.2,
  run: async (settings) => {
    const central = await RehearsedGateway.open(settings, {
      name: 'central',
      data: path.join(settings.folder, 'central'),
      central: true,
    });
    const link = await Link.open(central.port);
    try {
      return await dropLinks(settings, central, link);
    } finally {
      await central.stop();
      await link.close();
    }
  },
};

async function dropLinks(
  settings: ExerciseSettings,
  central: RehearsedGateway,
  link: Link,
): ReturnType<Exercise['run']> {
  const { folder, clock, random, signal, forMs } = settings;
  const edge = await RehearsedGateway.open(settings, {
    name: 'edge',
    data: path.join(folder, 'edge'),
    upstreamPort: link.port,
  });
  const fleet = openFleet(settings, edge.port);
  let drops = 0;
  try {
    await central.ready();
    await edge.ready();
    fleet.start();
    const untilMs = clock.monotonicMs() + forMs;
    while (clock.monotonicMs() < untilMs && !signal.aborted) {
      await clock.sleep(between(random, 300, 1500), signal);
      link.set(random.next() < 0.5 ? 'cut' : 'black-hole');
      drops++;
      if (random.next() < 0.2) edge.kill();
      await clock.sleep(between(random, 200, 2000), signal);
      // What was under way in a black hole arrives late, or never.
      if (random.next() < 0.5) link.set('cut');
      link.set('up');
    }
    const all = await drained(fleet, settings);
    const caughtUp = await holds(
      async () => flowOf(await edge.status(), 'central').lagRecords === 0,
      TRIAL_LIMITS.rehearseDrainMs,
      settings,
    );
    const stopped = (await edge.stop()) && (await central.stop());
    await fleet.stop();
    const report = await compare(settings, fleet, edge.data, central.data);
    const { audit, altered = 0, waiting } = report.centre;
    return {
      done: `dropped ${drops} times, the agent killed ${edge.kills} times meanwhile`,
      checks: [
        ...promiseChecks(report),
        {
          text: 'every record is at the centre exactly once, in order, unaltered',
          ok: audit.clean && altered === 0 && waiting === 0 && caughtUp && all,
          detail:
            `${count(audit.records)} arrived, ${count(audit.missing)} missing, ` +
            `${count(audit.repeats)} repeated, ${count(audit.disorder)} out of order, ` +
            `${count(altered)} altered, ${count(waiting)} not sent yet`,
        },
        endCheck(edge, stopped),
      ],
    };
  } finally {
    await edge.stop();
    await fleet.stop();
  }
}
