import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger';
import type { FastifySchema } from 'fastify';
import { HTTP_LIMITS } from '../http-limits.ts';
import { CLIENTS_FORM } from './client-schema.ts';
import type { MirrorAction } from './control-api.ts';
import { EVENT_FORM } from './event-schema.ts';
import { HISTORY_FORM } from './history-schema.ts';
import { PROBLEM_TYPE } from './http-problem.ts';
import { MIRROR_FORM, RESUMED_FORM, SEEK_FORM, SKIP_FORM } from './mirror-schema.ts';
import { UNREADY } from './readiness.ts';
import { arrayOf } from './schema-forms.ts';
import { STATUS_SCHEMA } from './status-schema.ts';
import { TOPIC_FORM } from './topic-schema.ts';

/** What requests may hold, and what answers do: checked, and described as OpenAPI, from one text. */

type Schema = Readonly<Record<string, unknown>>;

/** `?a=1&b=true`: digits are numbers and these two words are flags, so that schemas can say what is meant. */
export function parsedQuery(text: string): Record<string, unknown> {
  const found: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  for (const [name, value] of new URLSearchParams(text)) {
    // Given twice it is neither of the two.
    found[name] = name in found ? [found[name], value] : valueOf(value);
  }
  return found;
}

function valueOf(text: string): string | number | boolean {
  if (/^\d{1,15}$/u.test(text)) return Number(text);
  return text === 'true' || (text === 'false' ? false : text);
}

const OFFSET: Schema = { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER };
const NAME: Schema = { type: 'string', minLength: 1, maxLength: HTTP_LIMITS.pathParameterBytes };

function strict(properties: Record<string, Schema>, required: readonly string[] = []): Schema {
  return { type: 'object', properties, required, additionalProperties: false };
}

function json(description: string, schema: Schema): Schema {
  return { description, content: { 'application/json': { schema } } };
}

function lines(description: string): Schema {
  return { description, content: { 'application/x-ndjson': { schema: { type: 'string' } } } };
}

const PROBLEM: Schema = {
  description: 'What is wrong (RFC 9457); code is for programs, detail for people.',
  content: {
    [PROBLEM_TYPE]: {
      schema: {
        type: 'object',
        required: ['type', 'title', 'status', 'detail', 'code'],
        properties: {
          type: { type: 'string', const: 'about:blank' },
          title: { type: 'string' },
          status: { type: 'integer' },
          detail: { type: 'string' },
          code: { type: 'string' },
        },
      },
    },
  },
};

interface RouteText {
  readonly tag: string;
  readonly id: string;
  readonly summary: string;
  readonly description?: string;
}

function route(text: RouteText, ok: Schema, rest: Partial<FastifySchema> = {}): FastifySchema {
  const { tag, id, summary, description = summary } = text;
  const about = { tags: [tag], operationId: id, summary, description };
  return { ...about, response: { 200: ok, '4xx': PROBLEM, '5xx': PROBLEM }, ...rest };
}

const OPEN = { security: [] } as const;
const STATE: Schema = {
  type: 'object',
  required: ['status'],
  properties: { status: { type: 'string' } },
};

export const HEALTH: FastifySchema = route(
  { tag: 'health', id: 'healthz', summary: 'The process turns.' },
  json('It does.', STATE),
  OPEN,
);

export const READINESS: FastifySchema = {
  ...route(
    {
      tag: 'health',
      id: 'readyz',
      summary: 'Devices may connect, and what they send is stored.',
    },
    json('They may.', STATE),
    OPEN,
  ),
  response: {
    200: json('They may.', STATE),
    '4xx': PROBLEM,
    503: json('They may not, or it is not stored.', {
      type: 'object',
      required: ['status', 'reasons'],
      properties: {
        status: { type: 'string' },
        reasons: {
          type: 'array',
          items: { type: 'string', enum: UNREADY },
        },
      },
    }),
  },
};

export const METRICS: FastifySchema = route(
  { tag: 'health', id: 'metrics', summary: 'Metrics in the text form of Prometheus.' },
  {
    description: 'What they mean stands with each.',
    content: { 'text/plain': { schema: { type: 'string' } } },
  },
);

function listOf(name: string, items: Schema): Schema {
  return { type: 'object', required: [name], properties: { [name]: { type: 'array', items } } };
}

export const STATUS: FastifySchema = route(
  { tag: 'status', id: 'status', summary: 'Everything the agent tells of itself.' },
  json('As gatelog status --json.', STATUS_SCHEMA),
);
export const HISTORY: FastifySchema = route(
  {
    tag: 'status',
    id: 'history',
    summary: 'Figures of the last hour and of the last day, since start, oldest first.',
    description:
      'Rates are per second over a step of stepMs, the others as they were at its end (of a day’s steps the greatest, of freeBytes the least); null: not known. until is when the last figure of each series was taken.',
  },
  json('hour and day.', HISTORY_FORM),
);
export const CLIENTS: FastifySchema = route(
  { tag: 'status', id: 'clients', summary: 'Who is connected, in the order in which they came.' },
  json('And how many there are in all.', CLIENTS_FORM),
  {
    querystring: strict({
      limit: { ...OFFSET, maximum: HTTP_LIMITS.clients, description: 'So many at most.' },
    }),
  },
);
export const TOPICS: FastifySchema = route(
  { tag: 'status', id: 'topics', summary: 'The topics of the log.' },
  json('With offsets and sizes.', listOf('topics', TOPIC_FORM)),
);
export const TOPIC: FastifySchema = route(
  { tag: 'status', id: 'topic', summary: 'One topic of the log.' },
  json('With offsets and sizes.', TOPIC_FORM),
  { params: strict({ topic: NAME }, ['topic']) },
);
export const MIRRORS: FastifySchema = route(
  { tag: 'mirrors', id: 'mirrors', summary: 'The mirrors: state, lag, what was sent and lost.' },
  json('As in the status.', listOf('mirrors', MIRROR_FORM)),
);
export const MIRROR: FastifySchema = route(
  { tag: 'mirrors', id: 'mirror', summary: 'One mirror.' },
  json('As in the status.', MIRROR_FORM),
  { params: strict({ mirror: NAME }, ['mirror']) },
);

export const RECORDS: FastifySchema = route(
  {
    tag: 'records',
    id: 'records',
    summary: 'Records of a topic from an offset or a time on, a line of JSON each.',
    description:
      'Lines as gatelog consume --json gives them; {"gap": …} stands for records that the log no longer holds, and a last line {"brokenOff": …} says that reading failed.',
  },
  lines('In the order of the log; within a partition by offset.'),
  {
    params: strict({ topic: NAME }, ['topic']),
    querystring: strict({
      partition: { ...OFFSET, description: 'Only this one.' },
      from: {
        description: 'beginning, end, an offset, or a time such as 2026-11-22T08:00:00Z.',
        anyOf: [OFFSET, { type: 'string', maxLength: 40 }],
        default: 'beginning',
      },
      limit: {
        ...OFFSET,
        description: `So many records at most; ${HTTP_LIMITS.recordsDefault} where it is not given and follow is not set.`,
      },
      follow: { type: 'boolean', description: 'Go on with what is stored from then on.' },
    }),
  },
);

export const GAPS: FastifySchema = route(
  {
    tag: 'records',
    id: 'gaps',
    summary: 'The loss ledger: records that will never be delivered, a line of JSON an entry.',
  },
  lines('As gatelog gaps --json.'),
);

export const EVENTS: FastifySchema = route(
  {
    tag: 'status',
    id: 'events',
    summary: 'What happened, and, as text/event-stream, what happens.',
    description:
      'With Accept: text/event-stream a stream of server-sent events: status (as /api/v1/status) at once and each second, event for each event from then on, after the id in Last-Event-ID or after.',
  },
  {
    description: 'The latest events, oldest first; or the stream.',
    content: {
      'application/json': { schema: listOf('events', EVENT_FORM) },
      'text/event-stream': { schema: { type: 'string' } },
    },
  },
  { querystring: strict({ after: { ...OFFSET, description: 'Only those with a greater id.' } }) },
);

const TOPIC_NAME: Schema = { type: 'string', minLength: 1, maxLength: 249 };

interface CommandText {
  readonly summary: string;
  readonly body: Schema;
  /** What the mirror answers; absent: it has nothing to say. */
  readonly result?: Schema;
}
const NOTHING: Schema = { type: 'object', properties: {} };

const COMMANDS: Readonly<Record<MirrorAction, CommandText>> = {
  pause: {
    summary: 'Sends nothing more, of one topic or at all, until resume.',
    body: strict({ topic: TOPIC_NAME }),
  },
  resume: {
    summary: 'Goes on, with what was paused, halted or stopped.',
    body: strict({ topic: TOPIC_NAME }),
    result: RESUMED_FORM,
  },
  seek: {
    summary:
      'Moves the mirror: what is skipped is told to the loss ledger, what lies before comes again.',
    body: strict(
      {
        topic: TOPIC_NAME,
        partition: OFFSET,
        to: { type: 'string', maxLength: 40, description: 'As from of records.' },
      },
      ['topic', 'to'],
    ),
    result: arrayOf(SEEK_FORM),
  },
  skip: {
    summary: 'Passes over records that the far side does not take; they stand in the loss ledger.',
    body: strict({ topic: TOPIC_NAME, partition: OFFSET, count: { ...OFFSET, minimum: 1 } }, [
      'topic',
    ]),
    result: SKIP_FORM,
  },
  forget: {
    summary: 'Lets go of the position of a mirror that is not configured any more.',
    body: strict({}),
  },
};

export function commandSchema(action: MirrorAction): FastifySchema {
  const { summary, body, result = NOTHING } = COMMANDS[action];
  const text = { tag: 'mirrors', id: `${action}Mirror`, summary };
  return route(
    text,
    json('It is done.', {
      type: 'object',
      required: ['result'],
      properties: { result },
    }),
    {
      params: strict({ mirror: NAME }, ['mirror']),
      body,
      security: [{ adminToken: [] }],
    },
  );
}

export function DESCRIPTION(version: string): FastifyDynamicSwaggerOptions {
  const scheme = { type: 'http', scheme: 'bearer' } as const;
  return {
    mode: 'dynamic',
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'gatelog agent',
        version,
        license: { name: 'Apache License 2.0', identifier: 'Apache-2.0' },
        description:
          'What a gateway tells of itself, and the steering of its mirrors. Every request that is refused gets problem details (RFC 9457).',
      },
      servers: [{ url: '/' }],
      tags: [
        { name: 'health', description: 'For who watches over it: probes, Prometheus.' },
        { name: 'status', description: 'What it tells of itself.' },
        { name: 'mirrors', description: 'The way up, and its steering.' },
        { name: 'records', description: 'What the log holds, and what it lost.' },
      ],
      components: {
        securitySchemes: {
          token: { ...scheme, description: 'http.token of the configuration: reading.' },
          adminToken: { ...scheme, description: 'http.adminToken: commands, and reading.' },
        },
      },
      // None, where on loopback no token is configured.
      security: [{ token: [] }, { adminToken: [] }, {}],
    },
  };
}
