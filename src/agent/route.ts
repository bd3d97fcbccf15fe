import { GatelogError } from '../errors.ts';
import { CLIENT_BOUNDS } from '../client-limits.ts';

/**
 * Routes: MQTT topic filter → topic and key. Pure. The first route that matches wins, so order is
 * meaning. Everything is checked and compiled when the table is built; matching happens once per
 * distinct MQTT topic (see ingest-topics.ts), never per message.
 */
export interface RouteSpec {
  /** MQTT topic filter, with `+` and `#`. */
  readonly match: string;
  /** Name of the topic (log stream) that takes the records. */
  readonly topic: string;
  /** Key template, as in KeyTemplate; `{topic}` is the full MQTT topic. */
  readonly key: string;
}

export interface CompiledRoute {
  readonly topic: string;
  readonly key: KeyTemplate;
}

export class RouteTable {
  readonly #routes: readonly (CompiledRoute & { readonly filter: TopicFilter })[];

  /** Throws GatelogError CONFIG_INVALID, naming the route by its number from 1. */
  constructor(specs: readonly RouteSpec[]) {
    this.#routes = specs.map((spec, index) => {
      const where = `route ${index + 1} (${JSON.stringify(spec.match)})`;
      return {
        topic: spec.topic,
        filter: TopicFilter.compile(spec.match, where),
        key: KeyTemplate.compile(spec.key, where),
      };
    });
  }

  /** The first route whose filter matches, or undefined. */
  match(mqttTopic: string): CompiledRoute | undefined {
    const levels = mqttTopic.split('/');
    return this.#routes.find((route) => route.filter.matches(levels));
  }
}

/** An MQTT topic filter (MQTT 5, section 4.7). */
export class TopicFilter {
  readonly #levels: readonly string[];

  private constructor(levels: readonly string[]) {
    this.#levels = levels;
  }

  static compile(filter: string, where: string): TopicFilter {
    const trouble = filterTrouble(filter);
    if (trouble !== undefined) {
      throw new GatelogError('CONFIG_INVALID', `${where}: ${trouble}`);
    }
    return new TopicFilter(filter.split('/'));
  }

  /**
   * [MQTT-4.7.1-2] `a/#` matches `a` too. [MQTT-4.7.2-1] A wildcard at the first level never
   * matches a topic that begins with `$`.
   */
  matches(topic: readonly string[]): boolean {
    const first = this.#levels[0];
    if (topic[0]?.startsWith('$') === true && (first === '+' || first === '#')) return false;
    for (const [index, level] of this.#levels.entries()) {
      if (level === '#') return true;
      if (index >= topic.length) return false;
      if (level !== '+' && level !== topic[index]) return false;
    }
    return this.#levels.length === topic.length;
  }
}

function filterTrouble(filter: string): string | undefined {
  if (filter.startsWith('$')) {
    return 'MQTT topics that begin with `$` are the broker’s own and are never logged';
  }
  return mqttFilterTrouble(filter);
}

/** Why it is no topic filter of MQTT (MQTT 5, section 4.7.1), or too deep; undefined: it is one. */
export function mqttFilterTrouble(filter: string): string | undefined {
  if (filter === '') return 'the filter is empty; `#` takes everything';
  if (filter.includes('\0')) return 'the filter holds a NUL character, which MQTT forbids';
  const levels = filter.split('/');
  if (levels.length > CLIENT_BOUNDS.topicLevels) {
    return `the filter has ${levels.length} levels; at most ${CLIENT_BOUNDS.topicLevels} are allowed`;
  }
  for (const [index, level] of levels.entries()) {
    if (level.includes('#') && (level !== '#' || index < levels.length - 1)) {
      return '`#` must be a whole level, and the last one, as in `plant/#`';
    }
    if (level.includes('+') && level !== '+') {
      return '`+` must be a whole level, as in `plant/+/temperature`';
    }
  }
  return undefined;
}

type KeyPart =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'topic' }
  | { readonly kind: 'client' }
  | { readonly kind: 'level'; readonly index: number };

/**
 * What a record's key is made of: literal text and placeholders. `{topic}` is the full MQTT topic,
 * `{client}` the publisher's client id, `{1}` … `{64}` a level of the MQTT topic counted from 1
 * (empty when the topic has no such level).
 */
export class KeyTemplate {
  readonly #parts: readonly KeyPart[];
  /** The key depends on who publishes, so it cannot be remembered by MQTT topic alone. */
  readonly usesClient: boolean;

  private constructor(parts: readonly KeyPart[]) {
    this.#parts = parts;
    this.usesClient = parts.some((part) => part.kind === 'client');
  }

  static compile(template: string, where: string): KeyTemplate {
    if (template === '') {
      throw new GatelogError('CONFIG_INVALID', `${where}: the key template is empty`);
    }
    const parts: KeyPart[] = [];
    for (const piece of template.split(/(\{[^{}]*\})/u)) {
      if (piece === '') continue;
      parts.push(
        piece.startsWith('{') && piece.endsWith('}')
          ? placeholder(piece, where)
          : literal(piece, where),
      );
    }
    return new KeyTemplate(parts);
  }

  render(mqttTopic: string, client: string): string {
    let levels: string[] | undefined;
    let key = '';
    for (const part of this.#parts) {
      if (part.kind === 'text') key += part.text;
      else if (part.kind === 'topic') key += mqttTopic;
      else if (part.kind === 'client') key += client;
      else {
        levels ??= mqttTopic.split('/');
        key += levels[part.index] ?? '';
      }
    }
    return key;
  }
}

function literal(text: string, where: string): KeyPart {
  if (/[{}]/u.test(text)) {
    throw new GatelogError(
      'CONFIG_INVALID',
      `${where}: the key template has a brace without its partner near ${JSON.stringify(text)}`,
    );
  }
  return { kind: 'text', text };
}

function placeholder(piece: string, where: string): KeyPart {
  if (piece === '{topic}') return { kind: 'topic' };
  if (piece === '{client}') return { kind: 'client' };
  const level = /^\{(\d{1,3})\}$/u.exec(piece);
  const number = Number(level?.[1] ?? 0);
  if (number >= 1 && number <= CLIENT_BOUNDS.topicLevels)
    return { kind: 'level', index: number - 1 };
  throw new GatelogError(
    'CONFIG_INVALID',
    `${where}: unknown placeholder ${piece} in the key template; ` +
      `known are {topic}, {client} and {1} to {${CLIENT_BOUNDS.topicLevels}} (levels of the MQTT topic)`,
  );
}
