import { GatelogError } from '../../errors.ts';
import { CODE, codeName, hasOtherLeader } from './codes.ts';
import { notAuthorized, whoOf } from './destinations.ts';
import type { KafkaUpstreamOptions } from './options.ts';
import { TopicTrouble } from './topic-trouble.ts';

/** What a broker's error code means to a person, whatever request it answered. */
export interface RefusalContext {
  readonly options: KafkaUpstreamOptions;
  readonly transactionalId: string;
  readonly group: string;
  /** Local topic of a central one; undefined for the positions topic. */
  readonly localTopicOf: (central: string) => string | undefined;
}

export function refusal(
  context: RefusalContext,
  request: string,
  code: number,
  topic?: string,
): GatelogError {
  const { options, transactionalId, group } = context;
  const who = whoOf(options);
  switch (code) {
    case CODE.topicAuthorizationFailed: {
      const local = topic === undefined ? undefined : context.localTopicOf(topic);
      if (topic !== undefined && local !== undefined) return notAuthorized(local, topic, options);
      return unauthorized(`Kafka does not let ${who} read the positions topic: grant READ on it`);
    }
    case CODE.invalidTopic: {
      const local = topic === undefined ? undefined : context.localTopicOf(topic);
      const text = `Kafka does not take records for topic '${topic ?? ''}' (${codeName(code)})`;
      if (local === undefined) return new GatelogError('UPSTREAM_REJECTED', text);
      return new TopicTrouble('UPSTREAM_REJECTED', local, text);
    }
    case CODE.groupAuthorizationFailed:
      return unauthorized(`Kafka does not let ${who} use group '${group}': grant READ on it`);
    case CODE.transactionalIdAuthorizationFailed:
      return unauthorized(
        `Kafka does not let ${who} use transactional id '${transactionalId}': grant WRITE on it`,
      );
    case CODE.clusterAuthorizationFailed:
      return unauthorized(`Kafka does not authorize ${who} for ${request} (${codeName(code)})`);
    case CODE.unsupportedCompressionType:
      return new GatelogError(
        'UPSTREAM_UNSUPPORTED',
        `Kafka does not take ${options.compression ?? 'zstd'} compression here: choose another`,
      );
    case CODE.invalidTransactionTimeout:
      return new GatelogError(
        'UPSTREAM_UNSUPPORTED',
        `The transaction timeout is longer than the brokers allow (transaction.max.timeout.ms): lower transactionTimeout`,
      );
    default:
      return new GatelogError(
        'UPSTREAM_UNCERTAIN',
        hasOtherLeader(code)
          ? `Another broker leads ${topic === undefined ? 'a partition' : `a partition of '${topic}'`} now, or none does yet (${codeName(code)} to ${request}): it is looked for anew`
          : `Kafka answered ${codeName(code)} to ${request}; the transaction is given up and tried anew`,
      );
  }
}

function unauthorized(text: string): GatelogError {
  return new GatelogError('UPSTREAM_UNAUTHORIZED', text);
}
