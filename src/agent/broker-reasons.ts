import { GatelogError, type ErrorCode } from '../errors.ts';

/** Reason codes of MQTT 5 (section 2.4) that the agent itself sends. */
export const REASON = {
  success: 0x00,
  unspecified: 0x80,
  malformed: 0x81,
  protocolError: 0x82,
  implementationSpecific: 0x83,
  protocolVersion: 0x84,
  clientIdInvalid: 0x85,
  badCredentials: 0x86,
  notAuthorized: 0x87,
  shuttingDown: 0x8b,
  topicFilterInvalid: 0x8f,
  topicNameInvalid: 0x90,
  packetIdNotFound: 0x92,
  receiveMaximumExceeded: 0x93,
  topicAliasInvalid: 0x94,
  packetTooLarge: 0x95,
  messageRateTooHigh: 0x96,
  quotaExceeded: 0x97,
} as const;

/** The peer broke MQTT's rules: its connection ends with this reason (told to MQTT 5 peers). */
export class ProtocolViolation extends Error {
  override readonly name = 'ProtocolViolation';
  readonly reasonCode: number;

  constructor(reasonCode: number, message: string) {
    super(message);
    this.reasonCode = reasonCode;
  }
}

/** Nothing can be stored at present: the device may try again later. */
const NO_ROOM: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'STORE_FULL',
  'STORE_READ_ONLY',
  'STORE_FAILING',
  'STORE_SUSPECT',
  'STORE_MISSING',
]);

/** What an MQTT 5 device is told when the log could not take its message. */
export function reasonOfFailure(error: Error): number {
  if (error instanceof GatelogError && error.code === 'RECORD_TOO_LARGE') {
    return REASON.packetTooLarge;
  }
  const full = error instanceof GatelogError && NO_ROOM.has(error.code);
  return full ? REASON.quotaExceeded : REASON.implementationSpecific;
}
