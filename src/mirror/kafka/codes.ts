import { protocolErrorsCodesById } from '@platformatic/kafka';

/** Kafka's error codes that we tell apart, by the names of org.apache.kafka.common.protocol.Errors. */
export const CODE = {
  none: 0,
  offsetOutOfRange: 1,
  unknownTopicOrPartition: 3,
  leaderNotAvailable: 5,
  notLeaderOrFollower: 6,
  replicaNotAvailable: 9,
  messageTooLarge: 10,
  coordinatorLoadInProgress: 14,
  coordinatorNotAvailable: 15,
  notCoordinator: 16,
  invalidTopic: 17,
  recordListTooLarge: 18,
  topicAuthorizationFailed: 29,
  groupAuthorizationFailed: 30,
  clusterAuthorizationFailed: 31,
  invalidTimestamp: 32,
  unsupportedVersion: 35,
  topicAlreadyExists: 36,
  invalidReplicationFactor: 38,
  notController: 41,
  policyViolation: 44,
  invalidProducerEpoch: 47,
  invalidTransactionTimeout: 50,
  concurrentTransactions: 51,
  transactionalIdAuthorizationFailed: 53,
  operationNotAttempted: 55,
  kafkaStorageError: 56,
  unsupportedCompressionType: 76,
  offsetNotAvailable: 78,
  invalidRecord: 87,
  unstableOffsetCommit: 88,
  producerFenced: 90,
  transactionalIdNotFound: 105,
} as const;

/** `NOT_COORDINATOR (16)`, for messages. */
export function codeName(code: number): string {
  return `${protocolErrorsCodesById[code] ?? 'UNKNOWN'} (${code})`;
}

/** The broker is busy with our own last transaction or is just taking over: ask again shortly. */
export function isBusy(code: number): boolean {
  return (
    code === CODE.concurrentTransactions ||
    code === CODE.coordinatorLoadInProgress ||
    code === CODE.unstableOffsetCommit
  );
}

/** Another broker coordinates now, or none yet: look for the coordinator again. */
export function isMoved(code: number): boolean {
  return code === CODE.coordinatorNotAvailable || code === CODE.notCoordinator;
}

/** The broker does not lead the partition, or not yet: another one does, or will. */
export function isElsewhere(code: number): boolean {
  return (
    code === CODE.notLeaderOrFollower ||
    code === CODE.leaderNotAvailable ||
    code === CODE.replicaNotAvailable ||
    code === CODE.unknownTopicOrPartition ||
    code === CODE.kafkaStorageError ||
    code === CODE.offsetNotAvailable
  );
}

/** The partition is there, and is led by another broker, or by none yet. */
export function hasOtherLeader(code: number): boolean {
  return code === CODE.notLeaderOrFollower || code === CODE.leaderNotAvailable;
}

/** Somebody with the same transactional id came after us. */
export function isFenced(code: number): boolean {
  return code === CODE.invalidProducerEpoch || code === CODE.producerFenced;
}

/** The broker will never take this batch as it is: a record of it is at fault, or its size. */
export function condemnsRecords(code: number): boolean {
  return (
    code === CODE.messageTooLarge ||
    code === CODE.recordListTooLarge ||
    code === CODE.invalidTimestamp ||
    code === CODE.invalidRecord
  );
}
