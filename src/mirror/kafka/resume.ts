import { type Coverage, formatAhead, parseCoverage } from '../../coverage.ts';
import { GatelogError } from '../../errors.ts';
import { formatIdentity, parseIdentity } from '../../identity.ts';
import type { MirrorStream } from '../upstream.ts';

/**
 * The resume position at the far side: a committed offset of our group on the positions topic,
 * whose metadata is the identity of the next record wanted; where more was delivered beyond it, `+` and
 * what formatAhead gives of that follow, which programs that know nothing of them refuse. Pure.
 */
export interface RemotePosition {
  /** Next offset wanted; -1 when the far side has none. */
  readonly offset: number;
  readonly metadata: string | null;
}

export interface Owner {
  readonly gateway: string;
  readonly incarnation: string;
  readonly replaces?: string | undefined;
}

export function positionMetadata(owner: Owner, stream: MirrorStream, had: Coverage): string {
  const { gateway, incarnation } = owner;
  const { topic, partition } = stream;
  const identity = formatIdentity({ gateway, incarnation, topic, partition, offset: had.next });
  const ahead = formatAhead(had);
  return ahead === '' ? identity : `${identity}+${ahead}`;
}

/**
 * The position that counts, or undefined when the far side has none for this stream. Throws
 * UPSTREAM_MISMATCH when it belongs to another data folder.
 */
export function acceptPosition(
  owner: Owner,
  stream: MirrorStream,
  remote: RemotePosition,
): Coverage | undefined {
  if (remote.offset < 0) return undefined;
  const [identity = '', ahead = ''] = (remote.metadata ?? '').split('+', 2);
  const found = parseIdentity(identity);
  const had = parseCoverage(remote.offset, ahead);
  const place = `${stream.topic}/${stream.partition}`;
  if (found === undefined || had === undefined) {
    throw new GatelogError(
      'UPSTREAM_MISMATCH',
      `Kafka's position for ${place} was not written by gatelog (metadata '${remote.metadata ?? ''}'): another program uses this gateway's consumer group; give the mirror a group of its own`,
    );
  }
  if (found.incarnation !== owner.incarnation) {
    if (found.incarnation === owner.replaces) return undefined;
    throw new GatelogError(
      'UPSTREAM_MISMATCH',
      `Kafka's position for ${place} of gateway '${owner.gateway}' belongs to another data folder (incarnation ${found.incarnation}, ours is ${owner.incarnation}): either a second machine uses this gateway's name, then give one of them another; or the data folder was replaced, then set 'replaces: ${found.incarnation}' to start anew from this one`,
    );
  }
  if (found.topic !== stream.topic || found.partition !== stream.partition) {
    throw new GatelogError(
      'UPSTREAM_MISMATCH',
      `Kafka's position for ${place} names ${found.topic}/${found.partition} instead: the positions topic or the data folder is not what it was`,
    );
  }
  return had;
}
