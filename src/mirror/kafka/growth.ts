import type { Logger } from '../../telemetry.ts';
import type { KnownCluster } from './known-cluster.ts';
import type { RingParts } from './ring.ts';

/**
 * What is remembered, beyond the session, of a ring that grows. `first`: the id of lane 1. A missing right
 * to more ids is told once: rights for one are enough for who needs no more, and links come and go.
 */
export function growth(
  known: Pick<KnownCluster, 'lanes' | 'isLaneRefusalTold'>,
  first: string,
  logger: Logger,
): Pick<RingParts, 'onGrown' | 'onRefused'> {
  return {
    onGrown: (index) => {
      known.lanes = [...known.lanes, index];
      known.isLaneRefusalTold = false;
    },
    onRefused: (transactionalId) => {
      if (known.isLaneRefusalTold) return;
      known.isLaneRefusalTold = true;
      logger.warn(
        { transactionalId, event: 'mirror.one-transaction' },
        `Kafka does not let this gateway use transactional id '${transactionalId}': its transactions go one after the other, which a long link does not fill; to let more travel grant WRITE and DESCRIBE on transactional ids with the prefix '${first}#'`,
      );
    },
  };
}
