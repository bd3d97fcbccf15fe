import { LINK_LIMITS } from '../../link-limits.ts';

/** What a connection has carried, as its own end counts it: bytes of the TCP stream, and writes. */
export interface StreamCount {
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly writes: number;
}

/** Segments that open a connection: SYN, SYN-ACK, ACK; and that end it, of which one often rides on a last write. */
const OPENING = 3;
const ENDING = 2.5;

/**
 * What a stretch of a connection's life makes on the wire where the kernel does not say: full
 * segments, one acknowledgement for two of them, and of an exchange of small messages one segment
 * each and one acknowledgement.
 */
export function wireBytes({ sentBytes, receivedBytes, writes }: StreamCount): number {
  const { segmentBytes, segmentHeadBytes } = LINK_LIMITS;
  const sent = segments(sentBytes, writes, segmentBytes);
  const received = segments(receivedBytes, writes, segmentBytes);
  const acknowledgements = Math.max(sent, received) / 2;
  return sentBytes + receivedBytes + (sent + received + acknowledgements) * segmentHeadBytes;
}

export const OPENING_BYTES: number = OPENING * LINK_LIMITS.segmentHeadBytes;
export const ENDING_BYTES: number = ENDING * LINK_LIMITS.segmentHeadBytes;

function segments(bytes: number, writes: number, segmentBytes: number): number {
  return bytes === 0 ? 0 : Math.max(Math.ceil(bytes / segmentBytes), writes);
}
