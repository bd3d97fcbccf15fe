import type { Random } from '../../random.ts';
import { openStore } from '../../store/open.ts';
import type { Store } from '../../store/log.ts';
import type { Logger } from '../../telemetry.ts';
import type { Clock } from '../../time.ts';
import type { DemoReport } from './report.ts';
import type { Show } from './show.ts';
import type { Stage } from './stage.ts';
import { arrivedIn, partitionsOf, Verifier } from './verify.ts';

export interface JudgeOptions {
  readonly stage: Stage;
  readonly show: Show;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** After the agents have stopped: opens their folders itself and compares. */
export async function judge(options: JudgeOptions): Promise<DemoReport> {
  const { stage, show } = options;
  const edge = await openFolder(stage.edge.folder, options);
  try {
    const verifier = new Verifier({
      gateway: stage.folder.gateway,
      incarnation: edge.identity.incarnation,
      run: show.fleet.run,
      devices: show.fleet.devices.map((device) => ({
        name: device.spec.name,
        lastSeq: device.lastSeq,
        unacknowledged: device.unacknowledged(),
      })),
      runFrom: show.runFrom,
      confirmed: show.confirmed(),
      edge: edge.reader,
    });
    if (stage.central === undefined) {
      // Loaded only here: the demo with a central needs no Kafka client.
      const { consumeCommitted } = await import('../../mirror/kafka/consume.ts');
      const topics = [...new Set(partitionsOf(edge.reader).map(({ topic }) => topic))];
      const { clock } = options;
      const brokers = stage.kafka ?? [];
      return await verifier.verify('Kafka', consumeCommitted({ brokers, topics, clock }));
    }
    const central = await openFolder(stage.central.folder, options);
    try {
      return await verifier.verify('central', arrivedIn(central.reader));
    } finally {
      await central.close();
    }
  } finally {
    await edge.close();
  }
}

function openFolder(folder: string, options: JudgeOptions): Promise<Store> {
  const { clock, random, logger } = options;
  return openStore({ folder, clock, random, logger, readOnly: true });
}
