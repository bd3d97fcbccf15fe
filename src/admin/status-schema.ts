import type { AgentStatus } from './status.ts';

type Form = Readonly<Record<string, unknown>>;

const MAP: Form = { type: 'object', additionalProperties: true };
const LIST: Form = { type: 'array', items: MAP };
const TEXT: Form = { type: 'string' };
const TEXTS: Form = { type: 'array', items: TEXT };
const COUNT: Form = { type: 'integer', minimum: 0 };
const TIME: Form = { type: 'string', format: 'date-time' };

function orNull({ type, ...rest }: Form): Form {
  return { type: [type, 'null'], ...rest };
}

/** Each part of the status, so that none can be added without a word here. What is in them: status.ts. */
const PARTS: Readonly<Record<keyof AgentStatus, readonly [form: Form, what: string]>> = {
  version: [TEXT, 'Of gatelog.'],
  gateway: [TEXT, 'Id of this gateway.'],
  gatewayAssumed: [{ type: 'boolean' }, 'Nobody chose that id: it was the host’s name.'],
  incarnation: [TEXT, 'Random id of the data folder.'],
  degraded: [orNull(TEXT), 'Why it serves without a log; null: it has one.'],
  degradedCode: [orNull(TEXT), 'The same for programs.'],
  data: [TEXT, 'The data folder.'],
  pid: [COUNT, 'The process.'],
  startedAt: [TIME, 'By this machine’s clock.'],
  uptimeMs: [COUNT, 'Since then, whatever the clock did.'],
  memory: [MAP, 'Bytes.'],
  clock: [orNull(MAP), 'Whether the machine’s clock is believed; null: there is no log.'],
  listeners: [TEXTS, 'Addresses for devices.'],
  http: [MAP, 'Addresses of the HTTP side, and why one is not listened on.'],
  certificates: [LIST, 'Of listeners with TLS.'],
  accessFiles: [LIST, 'Files of users and rules, and keys of tokens.'],
  ingest: [orNull(MAP), 'What came from devices; null: nobody is listened to yet.'],
  store: [orNull(MAP), 'The log, the disk, what is lost; null: there is no log.'],
  wear: [orNull(MAP), 'How much is written to the card or disk.'],
  topics: [LIST, 'Topics of the log.'],
  reload: [orNull(MAP), 'What became of the configuration that was read again; null: it was not.'],
  mirrors: [LIST, 'The way up: states, lag, what was sent.'],
};

export const STATUS_SCHEMA: Form = {
  type: 'object',
  required: Object.keys(PARTS),
  properties: Object.fromEntries(
    Object.entries(PARTS).map(([name, [form, description]]) => [name, { ...form, description }]),
  ),
};
