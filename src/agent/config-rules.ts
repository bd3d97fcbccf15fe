import { formatPlace, messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import { matchOf, sameTreatment, topicMatcher, treatmentOf } from '../mirror/selection.ts';
import { formatRate, formatSize } from '../units.ts';
import { checkAccess } from './config-acl-rules.ts';
import { type ConfigDocument, formatPath, type Problem } from './config-document.ts';
import { checkHttp } from './config-http-rules.ts';
import { gatewayOf, isName, isTopicName, NAME_EXPECTED, TOPIC_EXPECTED } from './config-forms.ts';
import { checkPairs, type Say } from './config-pairs.ts';
import type { ParsedConfig } from './config-schema.ts';
import type { KafkaUpstreamConfig, MirrorConfig } from './config-types.ts';
import { hasUsers, troubleOfAccess } from './listen-policy.ts';
import { leadsTo } from './own-address.ts';
import { KeyTemplate, TopicFilter } from './route.ts';

/** What one option alone can't tell: names of maps, and options that contradict each other. */
export interface RuleFindings {
  readonly errors: readonly Problem[];
  readonly warnings: readonly Problem[];
}

export function checkRules(config: ParsedConfig, document: ConfigDocument): RuleFindings {
  const errors: Problem[] = [];
  const warnings: Problem[] = [];
  const say = (list: Problem[]) => (at: readonly (string | number)[], message: string) => {
    list.push({ place: document.placeOf(at, 'value'), message });
  };
  checkNames(config, document, errors);
  checkMqtt(config, say(errors));
  checkHttp(config.http, say(errors), say(warnings));
  const written = (document.value as { mqtt?: { acl?: unknown } } | null)?.mqtt?.acl;
  checkAccess(config.mqtt, (written ?? undefined) !== undefined, say(errors), say(warnings));
  checkStore(config, say(errors), say(warnings));
  checkReserve(config, document, say(warnings));
  checkRoutes(config, document, say(errors), say(warnings));
  for (const [name, mirror] of Object.entries(config.mirrors)) {
    checkMirror(name, mirror, config, say(errors), say(warnings));
    checkLink(name, mirror, config, say(errors), say(warnings));
  }
  checkPairs(config, say(errors), say(warnings));
  return { errors, warnings };
}

function checkNames(config: ParsedConfig, document: ConfigDocument, errors: Problem[]): void {
  for (const [map, names, legal, expected] of [
    ['topics', Object.keys(config.topics), isTopicName, TOPIC_EXPECTED],
    ['mirrors', Object.keys(config.mirrors), isName, NAME_EXPECTED],
  ] as const) {
    for (const name of names) {
      if (legal(name)) continue;
      const place = document.placeOf([map, name], 'key');
      errors.push({ place, message: `expected ${expected}, found ${JSON.stringify(name)}` });
    }
  }
}

function checkMqtt(config: ParsedConfig, error: Say): void {
  const addresses = new Set<string>();
  for (const [index, listen] of config.mqtt.listen.entries()) {
    const at = ['mqtt', 'listen', index];
    if (addresses.has(listen.url)) error(at, `${listen.url} is listed twice`);
    addresses.add(listen.url);
    const trouble = troubleOfAccess(listen, hasUsers(config.mqtt));
    if (trouble !== undefined) error(at, trouble);
  }
  const users = new Set<string>();
  for (const [index, { username }] of config.mqtt.users.entries()) {
    if (users.has(username)) {
      error(['mqtt', 'users', index, 'username'], 'this user name is listed twice');
    }
    users.add(username);
  }
}

/** Fewer, and every drop would take most of what is stored. */
const SEGMENTS_IN_CAP = 4;

function checkStore(config: ParsedConfig, error: Say, warn: Say): void {
  const { segmentBytes, lingerMs, wear, maxBytes } = config.store;
  if (wear.maxLatencyMs < lingerMs) {
    error(['store', 'wear', 'maxLatency'], 'is less than store.linger: every commit waits longer');
  }
  if (maxBytes !== undefined && maxBytes < SEGMENTS_IN_CAP * segmentBytes) {
    error(
      ['store', 'maxBytes'],
      `is less than ${SEGMENTS_IN_CAP} times store.segment: space is given back a whole segment ` +
        `at a time, and a reserve is kept beside`,
    );
  }
  for (const [name, options] of Object.entries(config.topics)) {
    const at = ['topics', name, 'retention', 'bytes'];
    if (options.retentionBytes !== undefined && options.retentionBytes < segmentBytes) {
      error(at, 'is less than store.segment: space is given back a whole segment at a time');
    }
    if (options.retentionBytes === undefined && options.retentionMs === undefined) {
      warn(
        ['topics', name, 'retention'],
        'has neither time nor bytes: it grows until the disk is full',
      );
    }
  }
}

/** The default gives way by itself, as config/gatelog.yaml says; what a person wrote does not in silence. */
function checkReserve({ store }: ParsedConfig, { value }: ConfigDocument, warn: Say): void {
  const { maxBytes, reserveBytes } = store;
  const written = (value as { store?: { reserve?: unknown } } | null)?.store?.reserve;
  if (maxBytes === undefined || written === undefined) return;
  const most = Math.floor(maxBytes * LIMITS.diskReserveShare);
  if (reserveBytes <= most) return;
  const message = `is more than an eighth of store.maxBytes: only ${formatSize(most)} are kept`;
  warn(['store', 'reserve'], message);
}

function checkRoutes(config: ParsedConfig, document: ConfigDocument, error: Say, warn: Say): void {
  let catchAll: number | undefined;
  const seen = new Map<string, number>();
  for (const [index, route] of config.routes.entries()) {
    const match = troubleOf((where) => TopicFilter.compile(route.match, where));
    if (match !== undefined) error(['routes', index, 'match'], match);
    const key = troubleOf((where) => KeyTemplate.compile(route.key, where));
    if (key !== undefined) error(['routes', index, 'key'], key);
    const before = catchAll ?? seen.get(route.match);
    if (before !== undefined) {
      const place = document.placeOf(['routes', before]);
      // Of several files each counts its own.
      const isHere = place.file === document.placeOf(['routes', index]).file;
      const isCounted = isHere && place.key === formatPath(['routes', before]);
      const which = isCounted ? `route ${before + 1}` : `the one at ${formatPlace(place)}`;
      warn(['routes', index], `is never reached: ${which} takes everything it matches`);
    }
    seen.set(route.match, index);
    if (route.match === '#') catchAll ??= index;
  }
  const routed = new Set(config.routes.map((route) => route.topic));
  for (const name of Object.keys(config.topics)) {
    if (!routed.has(name) && !config.mqtt.central) {
      warn(['topics', name], 'no route leads to this topic');
    }
  }
}

function checkKafkaTopics(
  at: readonly string[],
  upstream: KafkaUpstreamConfig,
  config: ParsedConfig,
  error: Say,
): void {
  if (upstream.delivery === 'at-least-once') {
    for (const option of ['transactionalId', 'group'] as const) {
      if (upstream[option] === undefined) continue;
      error([...at, option], 'is for exactly-once: at-least-once has no transactions');
    }
    return;
  }
  const topics = [...Object.keys(config.topics), ...config.routes.map(({ topic }) => topic)];
  const central = topics.map((topic) =>
    upstream.topic.replaceAll('{topic}', topic).replaceAll('{gateway}', gatewayOf(config)),
  );
  if (central.includes(upstream.positionsTopic)) {
    error([...at, 'topic'], `records would go to the positions topic, ${upstream.positionsTopic}`);
  }
}

function checkLink(
  name: string,
  { link }: MirrorConfig,
  config: ParsedConfig,
  error: Say,
  warn: Say,
): void {
  if (link === undefined) return;
  const at = ['mirrors', name, 'link'];
  const periods = new Set<string>();
  for (const [index, { per, resets }] of link.budgets.entries()) {
    const period = `${per} ${resets}`;
    if (periods.has(period)) error([...at, 'budget', index], 'another budget has the same periods');
    periods.add(period);
  }
  const { bitsPerSecond: rate = Infinity, metered } = link;
  const action = metered?.action;
  if (typeof action === 'object' && action.capBitsPerSecond > rate) {
    const found = `found ${formatRate(action.capBitsPerSecond)}, which never applies`;
    error(
      [...at, 'metered', 'then'],
      `expected a cap below link.rate (${formatRate(rate)}), ${found}`,
    );
  }
  if (config.clock.trust !== 'never') return;
  if (link.windows.length > 0) {
    warn([...at, 'windows'], 'never open where clock.trust is never: nobody knows the time');
  }
  if (link.budgets.length > 0) {
    warn([...at, 'budget'], 'never begins anew where clock.trust is never: nobody knows the time');
  }
}

/** The compiler's own message, without the place that it was told. */
function troubleOf(compile: (where: string) => unknown): string | undefined {
  try {
    compile('');
    return undefined;
  } catch (error) {
    return messageOf(error).replace(/^: /u, '');
  }
}

/** A rule that no topic comes to says something that does not hold. */
function checkTreatments(name: string, { topics, upstream }: MirrorConfig, error: Say): void {
  for (const [index, rule] of topics.entries()) {
    const at = ['mirrors', name, 'topics', index];
    const pattern = matchOf(rule);
    const before = topics.slice(0, index).find((earlier) => topicMatcher([earlier])(pattern));
    if (before !== undefined && !sameTreatment(treatmentOf(before), treatmentOf(rule))) {
      const shown = JSON.stringify(matchOf(before));
      error(at, `never applies: ${shown} stands before it and matches too; put the narrower first`);
    }
    const { drain } = treatmentOf(rule);
    if (upstream.kind !== 'mqtt' || drain === 'backlog-first') continue;
    error(
      [...at, 'drain'],
      `expected backlog-first to an MQTT broker, found ${JSON.stringify(drain)}: a central gatelog knows repeats by the last record it has, so records must come in order`,
    );
  }
}

/** A rule that never applies, or leaves records out where that can't be made good. */
function checkSamples(name: string, { topics, upstream, link }: MirrorConfig, error: Say): void {
  const action = link?.metered?.action;
  for (const [index, rule] of topics.entries()) {
    const { sample, drain, class: topicClass } = treatmentOf(rule);
    if (sample === undefined) continue;
    const at = ['mirrors', name, 'topics', index, 'sample'];
    if (drain !== 'backlog-first') {
      error(at, `expected drain: backlog-first beside it, found ${JSON.stringify(drain)}`);
    }
    if (sample.rest === 'later' && sample.when === 'always') {
      error([...at, 'rest'], 'expected ledger with when: always, found "later", which never comes');
    } else if (sample.rest === 'later' && upstream.kind === 'mqtt') {
      error(
        [...at, 'rest'],
        'expected ledger to an MQTT broker, found "later": a central gatelog knows repeats by the last record it has, so records must come in order',
      );
    }
    if (sample.when === 'always') continue;
    if (action === undefined) {
      error(
        [...at, 'when'],
        'expected link.metered, which says when a link is metered, found none',
      );
    } else if (action === 'pause' || (action === 'alarms-only' && topicClass !== 'alarm')) {
      error(
        [...at, 'when'],
        `never applies: link.metered.then is ${action}, so nothing of these topics goes then; write then: sample, or {cap: RATE}`,
      );
    }
  }
  const isSampled = topics.some((rule) => treatmentOf(rule).sample?.when === 'metered');
  if (action !== 'sample' || isSampled) return;
  error(
    ['mirrors', name, 'link', 'metered', 'then'],
    'expected a topic of the mirror with sample, found none: write alarms-only',
  );
}

function checkMirror(
  name: string,
  mirror: MirrorConfig,
  config: ParsedConfig,
  error: Say,
  warn: Say,
): void {
  const topics = new Set([
    ...Object.keys(config.topics),
    ...config.routes.map(({ topic }) => topic),
  ]);
  for (const [index, rule] of mirror.topics.entries()) {
    const pattern = matchOf(rule);
    const matches = pattern.startsWith('_') || [...topics].some(topicMatcher([pattern]));
    // A central agent makes topics as gateways send them.
    if (!matches && !config.mqtt.central) {
      warn(['mirrors', name, 'topics', index], `${JSON.stringify(pattern)} matches no topic`);
    }
  }
  checkTreatments(name, mirror, error);
  checkSamples(name, mirror, error);
  if (mirror.topics.length === 0)
    error(['mirrors', name, 'topics'], 'expected at least one pattern, found an empty list');
  const { upstream } = mirror;
  if (upstream.kind === 'kafka') {
    const at = ['mirrors', name, 'kafka'];
    if (upstream.sasl?.mechanism === 'PLAIN' && upstream.tls === undefined) {
      warn([...at, 'sasl', 'mechanism'], 'PLAIN without tls sends the password readable for all');
    }
    checkKafkaTopics(at, upstream, config, error);
  }
  if (upstream.kind === 'mqtt') {
    const at = ['mirrors', name, 'mqtt'];
    if (upstream.password !== undefined && upstream.username === undefined) {
      error([...at, 'password'], 'expected a username beside the password, found none');
    }
    for (const { url } of config.mqtt.listen) {
      if (leadsTo(upstream.url, url)) {
        const text = `is this agent itself (it listens on ${url}): every record would come back`;
        error([...at, 'url'], text);
      }
    }
  }
}
