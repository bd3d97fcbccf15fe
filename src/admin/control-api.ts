import { GatelogError } from '../errors.ts';
import type { ErrorCode } from '../errors.ts';
import type { SeekRequest } from '../mirror/seek.ts';
import { parseStartPoint, START_EXPECTED } from './consume.ts';
import type { ConsumeRequest } from './consume.ts';

/** The forms of what goes over the control socket, for both of its ends. */
export const MIRROR_ACTIONS = ['pause', 'resume', 'seek', 'forget'] as const;
export type MirrorAction = (typeof MIRROR_ACTIONS)[number];

/** Body of every answer that is not 200. */
export interface ControlError {
  readonly code: ErrorCode;
  readonly message: string;
}

export type MirrorRequest =
  | { readonly action: 'pause' | 'resume'; readonly topic: string | undefined }
  | { readonly action: 'seek'; readonly request: SeekRequest }
  | { readonly action: 'forget' };

/** Body of POST /mirrors/NAME/ACTION; `to` as on the command line. */
export interface MirrorBody {
  readonly topic?: string | undefined;
  readonly partition?: number | undefined;
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

/** Throws USAGE. */
export function mirrorRequestOf(action: MirrorAction, text: string): MirrorRequest {
  const body = parseBody(text);
  if (action === 'forget') return { action };
  if (action !== 'seek') return { action, topic: body.topic };
  const to = parseStartPoint(body.to ?? '');
  if (body.topic === undefined || to === undefined) {
    throw new GatelogError('USAGE', `seek needs a topic, and as "to" ${START_EXPECTED}`);
  }
  const { topic, partition } = body;
  return { action, request: { topic, to, ...(partition === undefined ? {} : { partition }) } };
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
  const { topic, partition, to } = parsed as Record<string, unknown>;
  return {
    topic: typeof topic === 'string' ? topic : undefined,
    partition: typeof partition === 'number' ? partition : undefined,
    to: typeof to === 'string' ? to : undefined,
  };
}
