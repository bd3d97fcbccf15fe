import { isDeepStrictEqual } from 'node:util';
import type { LogWriter, TopicOptions } from '../store/log.ts';
import type { Broker } from './broker.ts';
import type { DataPath } from './config-document.ts';
import type { Config, HttpConfig, LogLevel } from './config-types.ts';
import { hasNames } from './listen-policy.ts';
import type { LiveOptions } from './reloader.ts';

export interface LiveSettingsOptions {
  /** What the agent was started with. */
  readonly config: Config;
  readonly writer: Pick<LogWriter, 'defineTopic'>;
  /** undefined until it listens. */
  readonly broker: () => Pick<Broker, 'changeAdmission' | 'changeLimits'> | undefined;
  readonly changeHttp: (http: HttpConfig) => Promise<void>;
  /** Mirrors of these names come, begin anew or go, as the configuration says now. */
  readonly changeMirrors: (names: readonly string[], next: Config) => Promise<void>;
  readonly setLogLevel: ((level: LogLevel) => void) | undefined;
}

/** Of a topic's options those that only say what may be given up. */
const KEEPING: ReadonlySet<string | number | undefined> = new Set([
  'retention',
  'onFull',
  'priority',
]);

/** Of `mqtt` what says who may come in and what they may do. */
const ADMISSION: ReadonlySet<string | number | undefined> = new Set([
  'users',
  'acl',
  'roles',
  'ownTopics',
]);

/** Of `mqtt.limits` what clients were told at their CONNECT, and what aedes knows from its start on. */
const TOLD = 'inFlight';

/**
 * The options that can change while the agent runs: the log's level, users, rules and limits of devices, how long topics are
 * kept, the HTTP side, and all mirrors: those that changed begin anew as after a restart.
 */
export class LiveSettings implements LiveOptions {
  readonly #options: LiveSettingsOptions;
  /** What holds at present. */
  #config: Config;

  constructor(options: LiveSettingsOptions) {
    this.#options = options;
    this.#config = options.config;
  }

  canChange(at: DataPath, next: Config): boolean {
    const [section, name, option] = at;
    if (section === 'log') return name === 'level' && this.#options.setLogLevel !== undefined;
    if (section === 'http') return true;
    if (section === 'mqtt' && name === 'limits') return option !== undefined && option !== TOLD;
    if (section === 'mqtt') return ADMISSION.has(name) && keepsItsDoors(this.#config, next);
    if (typeof name !== 'string') return false;
    if (section === 'topics') return keepsItsShape(name, option, this.#config, next);
    return section === 'mirrors';
  }

  async change(options: readonly DataPath[], next: Config): Promise<void> {
    const sections = new Set(options.map(([section]) => section));
    const namesIn = (section: string): Set<string | number | undefined> =>
      new Set(options.filter(([first]) => first === section).map(([, name]) => name));
    // First what can be refused.
    if (sections.has('topics')) this.#changeTopics(next);
    if (sections.has('mirrors')) await this.#changeMirrors(namesIn('mirrors'), next);
    if (sections.has('log')) this.#changeLog(next);
    const ofMqtt = namesIn('mqtt');
    if ([...ofMqtt].some((name) => ADMISSION.has(name))) this.#changeAdmission(next);
    if (ofMqtt.has('limits')) this.#changeLimits(next);
    if (sections.has('http')) await this.#changeHttp(next);
  }

  #changeTopics(next: Config): void {
    const topics = { ...this.#config.topics };
    for (const [name, now] of Object.entries(topics)) {
      const wanted: TopicOptions | undefined = next.topics[name];
      if (wanted === undefined) continue;
      const { partitions, durability } = now;
      const merged = { ...wanted, partitions, durability };
      if (isDeepStrictEqual(now, merged)) continue;
      this.#options.writer.defineTopic(name, merged);
      topics[name] = merged;
    }
    this.#config = { ...this.#config, topics };
  }

  #changeLog({ log: { level } }: Config): void {
    this.#options.setLogLevel?.(level);
    this.#config = { ...this.#config, log: { ...this.#config.log, level } };
  }

  #changeAdmission({ mqtt }: Config): void {
    const { users, acl, aclKind, roles, ownTopics } = mqtt;
    const admitted = { users, acl, aclKind, roles, ownTopics };
    this.#options.broker()?.changeAdmission(admitted);
    this.#config = { ...this.#config, mqtt: { ...this.#config.mqtt, ...admitted } };
  }

  #changeLimits({ mqtt }: Config): void {
    const { inFlight } = this.#config.mqtt.limits;
    const limits = { ...mqtt.limits, inFlight };
    this.#options.broker()?.changeLimits(limits);
    this.#config = { ...this.#config, mqtt: { ...this.#config.mqtt, limits } };
  }

  async #changeHttp({ http }: Config): Promise<void> {
    this.#config = { ...this.#config, http };
    await this.#options.changeHttp(http);
  }

  async #changeMirrors(
    names: Iterable<string | number | undefined>,
    { mirrors }: Config,
  ): Promise<void> {
    const config = { ...this.#config, mirrors };
    await this.#options.changeMirrors(Array.from(names, String), config);
    this.#config = config;
  }
}

/**
 * Listeners were opened knowing whether there are users, and clients were admitted knowing whether there
 * are rules: the first user and the first rule want a restart.
 */
function keepsItsDoors({ mqtt: now }: Config, { mqtt: next }: Config): boolean {
  return (
    hasNames(now) === hasNames({ ...now, users: next.users }) &&
    (now.aclKind === 'open') === (next.aclKind === 'open')
  );
}

/** A topic that is written out now and was there by default before is changed as a whole. */
function keepsItsShape(
  name: string,
  option: string | number | undefined,
  { topics: before }: Config,
  { topics: after }: Config,
): boolean {
  const [now, next] = [before[name], after[name]];
  if (now === undefined || next === undefined) return false;
  if (option !== undefined) return KEEPING.has(option);
  return now.partitions === next.partitions && now.durability === next.durability;
}
