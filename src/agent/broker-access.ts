import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import type { Access, Acl } from './acl.ts';
import type { WhoIs } from './acl-filter.ts';
import { type AedesClient, willAsked } from './broker-aedes.ts';
import type { TopicEntry } from './ingest-topics.ts';
import type { DeviceStream } from './broker-door.ts';
import { RefusalLine, shortened } from './refusal-line.ts';

export interface AccessControlOptions {
  /** undefined: everything is allowed. */
  readonly acl: Acl | undefined;
  /** For people who read a refusal: where what is allowed stands. */
  readonly hint?: string | undefined;
  readonly whoIs: (client: object) => WhoIs;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What each client may do, from when it has logged in; counts and tells what is refused. */
export class AccessControl {
  readonly #options: AccessControlOptions;
  #acl: Acl | undefined;
  #hint: string | undefined;
  readonly #byClient = new WeakMap<object, Access>();
  readonly #refusals: RefusalLine;
  refused = 0;

  constructor(options: AccessControlOptions) {
    this.#options = options;
    this.#acl = options.acl;
    this.#hint = options.hint;
    this.#refusals = new RefusalLine('access.refused', options);
  }

  /** Everything is allowed to everybody. */
  get isOpen(): boolean {
    return this.#acl === undefined;
  }

  of(client: object): Access | undefined {
    return this.#byClient.get(client);
  }

  /** It has logged in. False: its will goes where it may not publish, and it should be told now. */
  admit(client: AedesClient): boolean {
    const access = this.judge(client);
    const will = willAsked(client);
    return access === undefined || will === null || access.mayPublish(will.topic);
  }

  /** Other rules hold from now on; those who are there are to be judged again. */
  use(acl: Acl | undefined, hint: string | undefined): void {
    this.#acl = acl;
    this.#hint = hint;
  }

  judge(client: AedesClient): Access | undefined {
    const person = { ...this.#options.whoIs(client), client: client.id };
    const access = this.#acl?.accessOf(person);
    if (access !== undefined) this.#byClient.set(client, access);
    return access;
  }

  /** What who is away may do now: by a session, or a will, of theirs. */
  ofAbsent(person: WhoIs, client: string): Access | undefined {
    return this.#acl?.accessOf({ ...person, client });
  }

  /** `client`: of who is away, only its id is known. */
  refuse(
    client: Pick<AedesClient, 'id'> & { readonly conn?: unknown },
    what: 'publish' | 'subscribe',
    topic: string,
  ): void {
    this.refused++;
    const { user } = this.#options.whoIs(client);
    const verb = what === 'publish' ? 'publish' : 'subscribe to';
    const from = (client.conn as DeviceStream | undefined)?.remoteAddress;
    const about = { client: shortened(client.id), user, from, topic: shortened(topic) };
    const why = this.#hint === undefined ? '' : `: ${this.#hint}`;
    this.#refusals.say(about, `a client may not ${verb} this topic${why}`);
  }
}

/** The answer stands in the topic's entry: most topics have one publisher. */
export function mayPublish(access: Access, entry: TopicEntry): boolean {
  if (entry.judgedFor !== access) {
    entry.judgedFor = access;
    entry.judged = access.mayPublish(entry.mqttTopic);
  }
  return entry.judged;
}
