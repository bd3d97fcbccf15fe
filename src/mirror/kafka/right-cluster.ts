import { GatelogError } from '../../errors.ts';
import type { Claim } from '../claims.ts';
import type { Journal } from './journal.ts';
import type { KafkaUpstreamOptions } from './options.ts';

/**
 * Another cluster under the same address has other positions and other records. What a mirror claims it
 * keeps, so it claims nothing in a cluster that is not its own: the mirror whose it is would be refused
 * there. Rejects with UPSTREAM_MISMATCH, before anything is changed.
 */
export async function requireRightCluster(
  id: string,
  claims: readonly Claim[],
  { clusterId, claim }: Pick<KafkaUpstreamOptions, 'clusterId' | 'claim'>,
  journal: Pick<Journal, 'clusterId' | 'rememberCluster'>,
): Promise<void> {
  const known = await journal.clusterId();
  if (clusterId !== undefined && clusterId !== id) {
    throw new GatelogError(
      'UPSTREAM_MISMATCH',
      `The cluster reached is '${id}', but 'clusterId' asks for '${clusterId}'. Nothing was changed there. If it is the right one, set 'clusterId: ${id}'; else mend 'brokers', or the name or address that leads there; then restart, or gatelog mirror resume`,
    );
  }
  if (known !== undefined && known !== id && clusterId === undefined) {
    throw new GatelogError(
      'UPSTREAM_MISMATCH',
      `The cluster reached is '${id}', but this mirror has been delivering to '${known}'. If it shall move on to the new one from where it stands, set 'clusterId: ${id}'`,
    );
  }
  claim?.(claims);
  if (known !== id) await journal.rememberCluster(id);
}
