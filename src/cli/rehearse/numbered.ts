import type { Random } from '../../random.ts';
import type { Store } from '../../store/log.ts';
import { openStore } from '../../store/open.ts';
import { silentLogger } from '../../telemetry.ts';
import type { Clock } from '../../time.ts';
import { count } from '../demo/text.ts';
import type { Check } from './exercise.ts';

/** Records that tell by themselves whether they are whole: a number, and bytes made from it. */
export const REHEARSAL_TOPIC = 'rehearsal';

const FILLER_BYTES = 300;

export function payloadOf(number: number): Buffer {
  const bytes = Buffer.alloc(4 + (number % FILLER_BYTES), number % 251);
  bytes.writeUInt32BE(number);
  return bytes;
}

/** Inclusive. */
export interface NumberRange {
  readonly from: number;
  readonly to: number;
}

export interface FoundNumbers {
  readonly records: number;
  readonly missing: number;
  readonly altered: number;
  readonly repeated: number;
  readonly gaps: number;
}

/** Opens the folder as an agent would, and looks for everything that was acknowledged. */
export async function findNumbers(
  folder: string,
  acknowledged: readonly NumberRange[],
  parts: { readonly clock: Clock; readonly random: Random },
): Promise<FoundNumbers> {
  const store = await openStore({ folder, ...parts, logger: silentLogger });
  try {
    return await countNumbers(store, acknowledged);
  } finally {
    await store.close();
  }
}

async function countNumbers(
  store: Store,
  acknowledged: readonly NumberRange[],
): Promise<FoundNumbers> {
  const seen = new Set<number>();
  const found = { records: 0, missing: 0, altered: 0, repeated: 0, gaps: 0 };
  const streams = store.reader.topic(REHEARSAL_TOPIC)?.streams ?? [];
  const cursor = store.reader.cursor(new Map(streams.map((stream) => [stream, 0])));
  for (;;) {
    const batch = await cursor.next({ maxRecords: 5000, maxBytes: 1_048_576 });
    if (batch.records === 0 && batch.gaps.length === 0) break;
    found.gaps += batch.gaps.length;
    for (const { value } of batch.slices.flatMap(({ records }) => records)) {
      const bytes = Buffer.from(value ?? []);
      const number = bytes.length < 4 ? -1 : bytes.readUInt32BE();
      found.records++;
      if (number < 0 || !payloadOf(number).equals(bytes)) found.altered++;
      else if (seen.has(number)) found.repeated++;
      seen.add(number);
    }
  }
  await cursor.close();
  for (const { from, to } of acknowledged) {
    for (let number = from; number <= to; number++) if (!seen.has(number)) found.missing++;
  }
  return found;
}

export function numberChecks(
  acknowledged: readonly NumberRange[],
  found: FoundNumbers,
): readonly Check[] {
  const promised = acknowledged.reduce((sum, { from, to }) => sum + to - from + 1, 0);
  return [
    {
      text: 'every acknowledged record is in the log',
      ok: found.missing === 0 && promised > 0,
      detail: `${count(promised)} acknowledged, ${count(found.missing)} missing`,
    },
    {
      text: 'no record is altered or there twice',
      ok: found.altered === 0 && found.repeated === 0 && found.gaps === 0,
      detail:
        `${count(found.records)} read, ${count(found.altered)} altered, ` +
        `${count(found.repeated)} twice, ${count(found.gaps)} gaps`,
    },
  ];
}
