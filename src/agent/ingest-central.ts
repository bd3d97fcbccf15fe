import { IDENTITY_HEADER, parseIdentity, type RecordIdentity } from '../identity.ts';
import type { PublishProperties } from './publication.ts';

/**
 * What another gateway's mirror says of a record in its MQTT 5 user properties: `gatelog.id`
 * (identity), `gatelog.key` or `gatelog.key64` (the key, when it is not the MQTT topic) and
 * `gatelog.ts` (timestamp, ms since 1970).
 */
export interface MirroredRecord {
  readonly identity: RecordIdentity;
  readonly identityText: string;
  /** `gateway/incarnation/topic/partition`: numbers this producer's records by offset. */
  readonly producer: string;
  /** undefined: the key equals the MQTT topic. */
  readonly key: Uint8Array | undefined;
  readonly timestampMs: number | undefined;
}

/** What a message says that it is, sound or not. */
export function identityTextOf({ user }: PublishProperties): string | undefined {
  for (let index = 0; index + 1 < user.length; index += 2) {
    if (user[index] === IDENTITY_HEADER) return user[index + 1];
  }
  return undefined;
}

/** undefined when there is no identity, or one that is malformed: an ordinary message. */
export function readMirrored(properties: PublishProperties): MirroredRecord | undefined {
  let identityText: string | undefined;
  let key: Uint8Array | undefined;
  let timestampMs: number | undefined;
  const { user } = properties;
  for (let index = 0; index + 1 < user.length; index += 2) {
    const value = user[index + 1] ?? '';
    const name = user[index] ?? '';
    switch (name) {
      case IDENTITY_HEADER:
        identityText = value;
        break;
      case 'gatelog.key':
        key = Buffer.from(value, 'utf8');
        break;
      case 'gatelog.key64':
        key = Buffer.from(value, 'base64');
        break;
      case 'gatelog.ts':
        if (/^\d{1,15}$/u.test(value)) timestampMs = Number(value);
        break;
      default:
    }
  }
  if (identityText === undefined) return undefined;
  const identity = parseIdentity(identityText);
  if (identity === undefined || !Number.isSafeInteger(identity.offset)) return undefined;
  const producer = identityText.slice(0, identityText.lastIndexOf('/'));
  return { identity, identityText, producer, key, timestampMs };
}
