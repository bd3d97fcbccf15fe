import { createAPI, type API, type Reader, Writer } from '@platformatic/kafka';

/**
 * Produce, version 9 (Kafka 2.8 and later), around batches that are encoded already. The library's
 * own request builds its batches from objects, and its answer throws away which partition failed.
 */
export interface ProducePartition {
  readonly partition: number;
  readonly batch: Buffer;
}

export interface ProduceTopic {
  readonly topic: string;
  readonly partitions: readonly ProducePartition[];
}

export interface ProduceAnswers {
  readonly answers: readonly ProduceAnswer[];
  readonly throttleTimeMs: number;
}

export interface ProduceAnswer {
  readonly topic: string;
  readonly partition: number;
  readonly code: number;
  readonly baseOffset: bigint;
  /** Index within the batch and reason, for the records that were refused. */
  readonly recordErrors: readonly { readonly index: number; readonly reason: string | null }[];
  readonly message: string | null;
}

type ProduceArguments = [
  transactionalId: string | null,
  timeoutMs: number,
  topics: readonly ProduceTopic[],
];

const ACKS_ALL = -1;
const PRODUCE = 0;

function createRequest(...[transactionalId, timeoutMs, topics]: ProduceArguments): Writer {
  return Writer.create()
    .appendString(transactionalId)
    .appendInt16(ACKS_ALL)
    .appendInt32(timeoutMs)
    .appendArray([...topics], (writer, { topic, partitions }) => {
      writer.appendString(topic).appendArray([...partitions], (inner, { partition, batch }) => {
        inner
          .appendInt32(partition)
          .appendUnsignedVarInt(batch.length + 1)
          .append(batch);
      });
    })
    .appendTaggedFields();
}

function readPartition(reader: Reader): Omit<ProduceAnswer, 'topic'> {
  const partition = reader.readInt32();
  const code = reader.readInt16();
  const baseOffset = reader.readInt64();
  reader.readInt64(); // log append time
  reader.readInt64(); // log start offset
  const recordErrors = reader.readArray((inner) => ({
    index: inner.readInt32(),
    reason: inner.readNullableString(),
  }));
  return { partition, code, baseOffset, recordErrors, message: reader.readNullableString() };
}

function parseResponse(
  _correlationId: number,
  _key: number,
  _version: number,
  reader: Reader,
): ProduceAnswers {
  const topics = reader.readArray((outer) => {
    const topic = outer.readString();
    return outer.readArray(readPartition).map((answer) => ({ topic, ...answer }));
  });
  return { answers: topics.flat(), throttleTimeMs: reader.readInt32() };
}

export const produceApi: API<ProduceArguments, ProduceAnswers> = createAPI(
  PRODUCE,
  9,
  createRequest,
  parseResponse,
);
