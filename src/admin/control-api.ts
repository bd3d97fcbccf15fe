import { GatelogError } from '../errors.ts';
import type { ErrorCode } from '../errors.ts';
import type { ExportHad, ExportHeld } from '../mirror/file/export-had.ts';
import type { SeekRequest } from '../mirror/seek.ts';
import type { SkipRequest } from '../mirror/skip.ts';
import { parseStartPoint, START_EXPECTED } from './consume.ts';
import type { ConsumeRequest } from './consume.ts';

/** The forms of what goes over the control socket, for both of its ends. */
export const MIRROR_ACTIONS = ['pause', 'resume', 'seek', 'skip', 'forget'] as const;
export type MirrorAction = (typeof MIRROR_ACTIONS)[number];

/** Body of every answer that is not 200. */
export interface ControlError {
  readonly code: ErrorCode;
  readonly message: string;
}

/** How the last line of an answer begins whose lines broke off. */
export const BROKEN_OFF: string = '{"brokenOff":';

/** Such a line: what it broke off with. */
export interface BrokenOff {
  readonly brokenOff: ControlError;
}

/** The last line of an answer whose lines broke off. */
export function brokenOffLine(error: ControlError): string {
  const line: BrokenOff = { brokenOff: error };
  return `${JSON.stringify(line)}\n`;
}

export type MirrorRequest =
  | { readonly action: 'pause' | 'resume'; readonly topic: string | undefined }
  | { readonly action: 'seek'; readonly request: SeekRequest }
  | { readonly action: 'skip'; readonly request: SkipRequest }
  | { readonly action: 'forget' };

/** Body of POST /mirrors/NAME/ACTION; `to` as on the command line. */
export interface MirrorBody {
  readonly topic?: string | undefined;
  readonly partition?: number | undefined;
  /** Of skip. */
  readonly count?: number | undefined;
  readonly to?: string | undefined;
}

export function httpStatusOf(code: ErrorCode): number {
  if (code === 'NOT_FOUND') return 404;
  return code === 'USAGE' ? 400 : 500;
}

export function consumeQuery(request: ConsumeRequest, from: string): string {
  const query = new URLSearchParams({ topic: request.topic, from });
  if (request.partition !== undefined) query.set('partition', String(request.partition));
  if (request.limit !== undefined) query.set('limit', String(request.limit));
  if (request.follow) query.set('follow', 'true');
  return query.toString();
}

/** Throws USAGE. */
export function consumeRequestOf(query: URLSearchParams): ConsumeRequest {
  const fromText = query.get('from') ?? 'beginning';
  const from = parseStartPoint(fromText);
  if (from === undefined) {
    throw new GatelogError('USAGE', `from: expected ${START_EXPECTED}, found "${fromText}"`);
  }
  return {
    topic: query.get('topic') ?? '',
    partition: wholeNumber(query, 'partition'),
    from,
    follow: query.get('follow') === 'true',
    limit: wholeNumber(query, 'limit'),
  };
}

function wholeNumber(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  const value = Number(text);
  if (/^\d+$/u.test(text) && Number.isSafeInteger(value)) return value;
  throw new GatelogError('USAGE', `${name}: expected a whole number, found "${text}"`);
}

/** Body of POST /mirrors/NAME/export. Throws USAGE. */
export function exportHeldOf(text: string): readonly ExportHeld[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text === '' ? '[]' : text);
  } catch {
    throw new GatelogError('USAGE', 'the request is not JSON');
  }
  if (Array.isArray(parsed) && parsed.every(isHeld)) return parsed;
  throw new GatelogError('USAGE', 'expected a list of what exports hold');
}

function isHeld(value: unknown): value is ExportHeld {
  if (typeof value !== 'object' || value === null) return false;
  const { gateway, incarnation, mirror, had } = value as Record<string, unknown>;
  const names = [gateway, incarnation, mirror];
  return names.every((name) => typeof name === 'string') && Array.isArray(had) && had.every(isHad);
}

function isHad(value: unknown): value is ExportHad {
  if (!Array.isArray(value)) return false;
  const [topic, partition, next, ahead] = value as unknown[];
  const isCount = (one: unknown): boolean => Number.isSafeInteger(one) && Number(one) >= 0;
  const numbers = Array.isArray(ahead) ? [partition, next, ...(ahead as unknown[])] : [undefined];
  return typeof topic === 'string' && numbers.every(isCount);
}

/** Throws USAGE. */
export function mirrorRequestOf(action: MirrorAction, text: string): MirrorRequest {
  const body = parseBody(text);
  if (action === 'forget') return { action };
  if (action === 'skip') return { action, request: skipRequestOf(body) };
  if (action !== 'seek') return { action, topic: body.topic };
  const to = parseStartPoint(body.to ?? '');
  if (body.topic === undefined || to === undefined) {
    throw new GatelogError('USAGE', `seek needs a topic, and as "to" ${START_EXPECTED}`);
  }
  const { topic, partition } = body;
  return { action, request: { topic, to, ...(partition === undefined ? {} : { partition }) } };
}

function skipRequestOf({ topic, partition, count }: MirrorBody): SkipRequest {
  if (topic === undefined) throw new GatelogError('USAGE', 'skip needs a topic');
  return { topic, partition, count };
}

function parseBody(text: string): MirrorBody {
  if (text === '') return {};
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new GatelogError('USAGE', 'the request is not JSON');
  }
  if (typeof parsed !== 'object' || parsed === null) return {};
  const { topic, partition, count, to } = parsed as Record<string, unknown>;
  return {
    topic: typeof topic === 'string' ? topic : undefined,
    partition: numberIn(partition),
    count: numberIn(count),
    to: typeof to === 'string' ? to : undefined,
  };
}

/** NaN, which is refused where it is used, is what a client's own nonsense comes as: null. */
function numberIn(value: unknown): number | undefined {
  if (value === undefined) return undefined;
  return typeof value === 'number' ? value : Number.NaN;
}
