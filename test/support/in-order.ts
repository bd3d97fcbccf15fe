import { type Coverage, type Coverages, upTo } from '../../src/coverage.ts';
import type { Receipt, UpstreamSession } from '../../src/mirror/upstream.ts';
import type { StreamId } from '../../src/record.ts';
import type { Slice } from '../../src/store/log.ts';

/** What has been had after these slices, where everything before them was. */
export function inOrder(slices: readonly Slice[]): Coverages {
  const after = new Map<StreamId, Coverage>();
  for (const { stream, records } of slices) {
    const last = records.at(-1);
    if (last !== undefined) after.set(stream, upTo(last.offset + 1));
  }
  return after;
}

/** A session as one sees it who sends in the order of the log. */
export interface InOrderSession extends Omit<UpstreamSession, 'positions' | 'send'> {
  readonly positions: ReadonlyMap<StreamId, number>;
  send(slices: readonly Slice[]): Promise<Receipt>;
}

export function inOrderSession(session: UpstreamSession): InOrderSession {
  return {
    positions: nextOf(session.positions),
    broken: session.broken,
    send: (slices) => session.send(slices, inOrder(slices)),
    close: () => session.close(),
  };
}

function nextOf(coverages: Coverages): Map<StreamId, number> {
  return new Map([...coverages].map(([stream, { next }]) => [stream, next]));
}

export function coveragesOf(positions: Iterable<readonly [StreamId, number]>): Coverages {
  return new Map([...positions].map(([stream, next]) => [stream, upTo(next)]));
}
