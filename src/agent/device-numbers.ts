import type { DedupStatus } from '../admin/status.ts';
import { hash } from 'node:crypto';
import { IDENTITY_HEADER } from '../identity.ts';
import { LIMITS } from '../limits.ts';
import { DEVICE_PRODUCER, type ProducerBook } from '../store/log.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import type { DedupConfig } from './config-types.ts';
import type { OnceMark } from './ingest.ts';
import {
  greatestOf,
  GREATEST_NUMBER,
  type NumberStanding,
  takeNumber,
  type TakenNumber,
} from './number-window.ts';
import type { PublishProperties } from './publication.ts';
import { RefusalLine, shortened } from './refusal-line.ts';

/** Whose numbers they are: a user's, or of a client that nobody knows by name. */
export interface Owner {
  readonly user: string | undefined;
  readonly client: string;
}

/**
 * Devices that number their messages themselves, in MQTT 5 user properties, so that the log has each of
 * them once whatever connection or hour it comes in (mqtt.dedup).
 */
export class DeviceNumbers {
  readonly #config: DedupConfig;
  readonly #book: ProducerBook;
  readonly #line: RefusalLine;
  /** What a device is told whose number can't be read. */
  readonly expected: string;
  readonly #counts: Record<NumberStanding, number> = { next: 0, gap: 0, late: 0, repeat: 0 };
  #unreadable = 0;

  constructor(
    config: DedupConfig,
    book: ProducerBook,
    about: { readonly clock: Clock; readonly logger: Logger },
  ) {
    this.#config = config;
    this.#book = book;
    this.#line = new RefusalLine('dedup.unreadable', about);
    const { producerProperty, sequenceProperty, epochProperty } = config;
    const epoch = epochProperty === undefined ? '' : ` (and ${epochProperty} at most once)`;
    this.expected = `expected ${producerProperty} and ${sequenceProperty}, a whole number from 0 to ${GREATEST_NUMBER}, once each${epoch}; the message was taken without a number`;
  }

  of(owner: Owner): OwnNumbers {
    return new OwnNumbers(this, this.#config, owner);
  }

  counts(): DedupStatus {
    const { remembered, forgotten } = this.#book.devices();
    const atMost = LIMITS.deviceProducers;
    return {
      remembered,
      atMost,
      forgotten,
      repeats: this.#counts.repeat,
      gaps: this.#counts.gap,
      late: this.#counts.late,
      unreadable: this.#unreadable,
    };
  }

  mark(producer: string, number: number): DeviceMark {
    const taken = takeNumber(this.#book.last(producer), number);
    const isStale = taken.standing === 'repeat' && number < greatestOf(taken.known);
    return new DeviceMark(producer, taken, isStale, (standing) => this.#counts[standing]++);
  }

  cannotRead({ client, user }: Owner): void {
    this.#unreadable++;
    this.#line.say(
      { client: shortened(client), user },
      `a message has no readable number: ${this.expected}`,
    );
  }
}

/** The numbers of one connection. */
export class OwnNumbers {
  readonly #all: DeviceNumbers;
  readonly #config: DedupConfig;
  readonly #owner: Owner;
  readonly #prefix: string;
  /** Most connections have one producer. */
  #known = { text: '', producer: '' };

  constructor(all: DeviceNumbers, config: DedupConfig, owner: Owner) {
    this.#all = all;
    this.#config = config;
    this.#owner = owner;
    // A name that was checked and one that was not are never the same.
    const { user, client } = owner;
    const whose = user === undefined ? `client ${client}` : `user ${user}`;
    this.#prefix = `${DEVICE_PRODUCER}${shortName(whose)}/`;
  }

  get expected(): string {
    return this.#all.expected;
  }

  /** undefined: it is not numbered. What another gateway passes on has numbers of its devices, not ours. */
  read({ user }: PublishProperties): DeviceMark | 'unreadable' | undefined {
    const { producerProperty, sequenceProperty, epochProperty } = this.#config;
    let producer: string | undefined;
    let sequence: string | undefined;
    let epoch: string | undefined;
    let twice = false;
    for (let index = 0; index + 1 < user.length; index += 2) {
      const name = user[index];
      const value = user[index + 1];
      if (name === IDENTITY_HEADER) return undefined;
      if (name === producerProperty) {
        twice ||= producer !== undefined;
        producer = value;
      } else if (name === sequenceProperty) {
        twice ||= sequence !== undefined;
        sequence = value;
      } else if (name === epochProperty) {
        twice ||= epoch !== undefined;
        epoch = value;
      }
    }
    if (producer === undefined && sequence === undefined) return undefined;
    const number = numberOf(sequence);
    if (twice || producer === undefined || producer === '' || number === undefined) {
      this.#all.cannotRead(this.#owner);
      return 'unreadable';
    }
    return this.#all.mark(this.#producer(producer, epoch), number);
  }

  #producer(producer: string, epoch: string | undefined): string {
    const text = JSON.stringify(epoch === undefined ? [producer] : [producer, epoch]);
    if (this.#known.text !== text) {
      this.#known = { text, producer: this.#prefix + shortName(text) };
    }
    return this.#known.producer;
  }
}

/** Stands in the commit of the record that it came with. MUST be used in the turn in which it was made. */
export class DeviceMark implements OnceMark {
  readonly producer: string;
  readonly sequence: number;
  readonly tell: OnceMark['tell'];
  /** It was taken before, and newer ones of its producer were. */
  readonly isStale: boolean;
  readonly #standing: NumberStanding;
  readonly #count: (standing: NumberStanding) => void;
  #used = false;

  constructor(
    producer: string,
    { known, standing }: TakenNumber,
    isStale: boolean,
    count: (standing: NumberStanding) => void,
  ) {
    this.producer = producer;
    this.sequence = known;
    this.isStale = isStale;
    this.tell = standing === 'repeat' ? greatestOf : undefined;
    this.#standing = standing;
    this.#count = count;
  }

  get used(): boolean {
    return this.#used;
  }

  /** It goes along with an append now. */
  set used(isUsed: boolean) {
    if (isUsed && !this.#used) this.#count(this.#standing);
    this.#used = isUsed;
  }
}

function numberOf(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,16}$/u.test(text)) return undefined;
  const number = Number(text);
  return number <= GREATEST_NUMBER ? number : undefined;
}

/** Names of any length, as short ones: 96 bits, which nobody finds another name for. */
function shortName(text: string): string {
  return hash('sha256', text, 'base64url').slice(0, 16);
}
