import type { Rejection } from '../upstream.ts';
import { CODE, codeName } from './codes.ts';
import type { Cargo, PieceEncoder } from './encode.ts';
import { decodeCargo } from './decode.ts';
import { refine, type Way, wholeOf } from './plan.ts';
import type { Delivered } from './rounds.ts';

/** What is to be sent after brokers condemned some batches: those cut smaller, the others as they are. */
export async function refineCargo(
  encoder: PieceEncoder,
  cargo: readonly Cargo[],
  condemned: readonly Delivered[],
  wayOf: (topic: string, partition: number) => Way,
): Promise<{ readonly cargo: Cargo[]; readonly rejected: Rejection[] }> {
  const refined: Cargo[] = [];
  const rejected: Rejection[] = [];
  for (const one of cargo) {
    const found = condemned.find(({ cargo: other }) => other === one);
    if (found === undefined) {
      refined.push(one);
      continue;
    }
    const { answer } = found;
    if (encoder.times.learn(answer)) {
      // The next attempt's timestamps are such as the topic takes: nothing is lost.
      refined.push(...(await encoder.encode([wholeOf(decodeCargo(one, wayOf))])));
      continue;
    }
    if (answer.code === CODE.messageTooLarge) encoder.learnTooLarge(answer.topic, one.batch);
    const reason = `Kafka refuses the record: ${answer.message ?? codeName(answer.code)}`;
    const cut = refine(wholeOf(decodeCargo(one, wayOf)), answer, reason);
    refined.push(...(await encoder.encode(cut.pieces)));
    rejected.push(...cut.rejected);
  }
  return { cargo: refined, rejected };
}
