/**
 * One error class with a closed list of codes. Codes are API (scripts and tests match them);
 * messages are for people and may change. Programmer's errors are AssertionErrors instead.
 */
export type ErrorCode =
  // The person's to mend: exit code 78 (EX_CONFIG) or 64 (EX_USAGE).
  | 'CONFIG_INVALID' // the configuration file or a flag is wrong; `place` says where
  | 'USAGE' // a command was called wrongly
  | 'NODE_TOO_OLD'
  | 'NOT_FOUND' // a topic, mirror or partition that does not exist was named
  | 'AGENT_NOT_RUNNING'
  | 'OUTPUT_FAILED' // what a command prints can't be written
  | 'LISTEN_FAILED' // an address can't be listened on
  // The data folder.
  | 'STORE_LOCKED' // another process holds the data folder
  | 'STORE_FORMAT_NEWER' // written by a newer gatelog than this one
  | 'STORE_UNAVAILABLE' // the folder can't be created, read or written
  | 'STORE_FORBIDDEN' // the user that runs gatelog may not read or write it
  | 'STORE_READ_ONLY' // it lies on a file system that is mounted read-only
  | 'STORE_FULL' // no space is left on its disk
  | 'STORE_FAILING' // its disk does not read or write
  | 'STORE_SUSPECT' // processes ended over it, one after the other: it is looked into first
  | 'STORE_MISSING' // it must exist already, and does not: its disk is not mounted
  | 'STORE_FOREIGN' // it belongs to another gateway
  | 'STORE_CORRUPT' // a stored commit failed its checksum or contiguity check
  | 'STORE_WRITE_FAILED' // an append could not be made durable; nothing of it is acknowledged
  | 'STORE_CLOSED'
  | 'RECORD_TOO_LARGE'
  // The far side.
  | 'UPSTREAM_UNREACHABLE' // no connection, or it broke, or it does not answer
  | 'UPSTREAM_UNCERTAIN' // a request was sent and its outcome is not known
  | 'UPSTREAM_UNAUTHENTICATED'
  | 'UPSTREAM_UNAUTHORIZED'
  | 'UPSTREAM_TOPIC_MISSING'
  | 'UPSTREAM_REJECTED' // the far side refuses this very record or topic
  | 'UPSTREAM_UNSUPPORTED' // the far side lacks what the delivery mode needs
  | 'UPSTREAM_FENCED' // another gateway with the same id took over
  | 'UPSTREAM_MISMATCH' // the far side's positions belong to another incarnation or cluster
  // The auditor.
  | 'EXPORT_DAMAGED' // bytes of an export file are altered or missing
  | 'VERIFY_FAILED'
  | 'INTERNAL';

/** Where in a person's input the trouble is. Lines and columns count from 1. */
export interface Place {
  readonly file: string;
  readonly line?: number;
  readonly column?: number;
  /** Dotted path of the option, as in `mirrors.central.kafka.brokers`. */
  readonly key?: string;
}

export interface GatelogErrorOptions {
  readonly cause?: unknown;
  readonly place?: Place;
}

export class GatelogError extends Error {
  override readonly name = 'GatelogError';
  readonly code: ErrorCode;
  readonly place: Place | undefined;

  constructor(code: ErrorCode, message: string, options: GatelogErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.place = options.place;
  }
}

/** `file:line:column: key: message`, leaving out what is not known. */
export function formatPlace(place: Place): string {
  const line = place.line === undefined ? '' : `:${place.line}`;
  const column = place.line === undefined || place.column === undefined ? '' : `:${place.column}`;
  const key = place.key === undefined || place.key === '' ? '' : `: ${place.key}`;
  return `${place.file}${line}${column}${key}`;
}

/** The message of anything thrown, its causes included once each. */
export function messageOf(error: unknown): string {
  let text = '';
  const seen = new Set<unknown>();
  for (let each = error; each !== undefined && !seen.has(each); each = causeOf(each)) {
    seen.add(each);
    const own = ownMessage(each);
    if (text === '') text = own;
    // One that ends in a full stop goes on here.
    else if (!text.includes(own)) text = `${text.replace(/\.$/u, '')}: ${own}`;
  }
  return text;
}

function ownMessage(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.message === '' ? error.name : error.message.replaceAll(OPENSSL, '$1').trim();
}

/** OpenSSL's lines, `THREAD:error:CODE:LIBRARY:FUNCTION:REASON:FILE:LINE:MORE`, of which the reason is for people. */
const OPENSSL = /\b[0-9A-F]{8,}:error:[0-9A-F]+:[^:\n]*:[^:\n]*:([^:\n]*)[^\n]*\n?/gu;

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined;
}

/** A system error's code (`ENOENT`, `LEVEL_LOCKED`), or undefined. */
export function systemCodeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/**
 * Exit codes of the process, by sysexits(3) where one fits, so that systemd and scripts can tell
 * a person's mistake (which no restart mends) from trouble that may pass.
 */
export function exitCodeOf(code: ErrorCode): number {
  switch (code) {
    case 'USAGE':
      return 64; // EX_USAGE
    case 'NOT_FOUND':
      return 66; // EX_NOINPUT
    case 'AGENT_NOT_RUNNING':
    case 'UPSTREAM_UNREACHABLE':
    case 'UPSTREAM_UNCERTAIN':
      return 69; // EX_UNAVAILABLE
    case 'STORE_UNAVAILABLE':
    case 'STORE_FAILING':
    case 'STORE_SUSPECT':
    case 'STORE_WRITE_FAILED':
    case 'OUTPUT_FAILED':
      return 74; // EX_IOERR
    case 'STORE_FOREIGN':
    case 'EXPORT_DAMAGED':
      return 65; // EX_DATAERR
    case 'STORE_FULL':
      return 71; // EX_OSERR
    case 'STORE_MISSING':
      return 72; // EX_OSFILE
    case 'STORE_READ_ONLY':
      return 73; // EX_CANTCREAT
    case 'STORE_FORMAT_NEWER':
      return 76; // EX_PROTOCOL: what it says is not understood
    case 'STORE_LOCKED':
    case 'LISTEN_FAILED':
      return 75; // EX_TEMPFAIL
    case 'STORE_FORBIDDEN':
    case 'UPSTREAM_UNAUTHENTICATED':
    case 'UPSTREAM_UNAUTHORIZED':
      return 77; // EX_NOPERM
    case 'CONFIG_INVALID':
    case 'NODE_TOO_OLD':
      return 78; // EX_CONFIG
    case 'VERIFY_FAILED':
      return 1;
    case 'STORE_CORRUPT':
    case 'STORE_CLOSED':
    case 'RECORD_TOO_LARGE':
    case 'UPSTREAM_TOPIC_MISSING':
    case 'UPSTREAM_REJECTED':
    case 'UPSTREAM_UNSUPPORTED':
    case 'UPSTREAM_FENCED':
    case 'UPSTREAM_MISMATCH':
    case 'INTERNAL':
      return 70; // EX_SOFTWARE
  }
}
