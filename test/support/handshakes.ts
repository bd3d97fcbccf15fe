import { Handshakes } from '../../src/mirror/mqtt/handshakes.ts';
import type { KeyValue, LogReader, PositionStore } from '../../src/store/log.ts';

/** As the agent makes them. */
export function handshakesOf(
  values: KeyValue,
  reader: Pick<LogReader, 'topics' | 'range'>,
  positions: Pick<PositionStore, 'coverage'>,
): Handshakes {
  return new Handshakes({ values, reader, hadOf: (stream) => positions.coverage(stream) });
}
