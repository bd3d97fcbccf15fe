import { GatelogError, messageOf, type ErrorCode } from '../errors.ts';

/** What is wrong with a request before it comes to anything that the agent does. */
export type RequestFault =
  | 'BAD_REQUEST' // it is no HTTP that can be read
  | 'UNAUTHENTICATED' // no token, or a wrong one
  | 'FORBIDDEN' // the token does not reach so far, or nothing here does
  | 'WRONG_HOST' // it was sent to a name that is not this agent's
  | 'CROSS_SITE' // a browser sent it on behalf of another site
  | 'NO_SUCH_PATH'
  | 'WRONG_METHOD'
  | 'TOO_LARGE'
  | 'UNSUPPORTED_MEDIA_TYPE'
  | 'TOO_MANY' // a bound is reached; later it may do
  | 'TIMEOUT';

/** RFC 9457; `code` is API, as are the codes of errors.ts, and `detail` is for people. */
export interface Problem {
  readonly type: 'about:blank';
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ErrorCode | RequestFault;
}

export const PROBLEM_TYPE = 'application/problem+json';

/** A request that is refused at the door; `headers` go with the answer. */
export class HttpRefusal extends Error {
  override readonly name = 'HttpRefusal';
  readonly fault: RequestFault;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    fault: RequestFault,
    message: string,
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
    this.fault = fault;
    this.headers = headers;
  }
}

const FAULT_STATUS: Readonly<Record<RequestFault, number>> = {
  BAD_REQUEST: 400,
  UNAUTHENTICATED: 401,
  FORBIDDEN: 403,
  CROSS_SITE: 403,
  NO_SUCH_PATH: 404,
  WRONG_METHOD: 405,
  TIMEOUT: 408,
  TOO_LARGE: 413,
  UNSUPPORTED_MEDIA_TYPE: 415,
  WRONG_HOST: 421,
  TOO_MANY: 503,
};

const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  409: 'Conflict',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  421: 'Misdirected Request',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
};

/** What fastify itself refuses, by its code; and our words where its own say too little. */
const FRAMEWORK_FAULTS: Readonly<Record<string, readonly [RequestFault, string?]>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: ['TOO_LARGE'],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: [
    'UNSUPPORTED_MEDIA_TYPE',
    'expected content-type: application/json',
  ],
  FST_ERR_CTP_EMPTY_TYPE: ['UNSUPPORTED_MEDIA_TYPE', 'expected content-type: application/json'],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: ['BAD_REQUEST'],
  FST_ERR_CTP_EMPTY_JSON_BODY: ['BAD_REQUEST', 'expected a JSON object as the body, {} at least'],
  FST_ERR_CTP_INVALID_JSON_BODY: ['BAD_REQUEST', 'the body is not JSON'],
  FST_ERR_BAD_URL: ['BAD_REQUEST'],
  FST_ERR_MAX_PARAM_LENGTH: ['BAD_REQUEST'],
};

export function problemOf(error: unknown): Problem {
  if (error instanceof HttpRefusal) return problem(error.fault, error.message);
  if (error instanceof GatelogError) {
    return asProblem(statusOf(error.code), error.code, messageOf(error));
  }
  const { code = '', validation, validationContext } = error as FrameworkError;
  if (validation !== undefined) {
    // The schema's own words: what stands where, and what was expected.
    const rest = validationContext === 'body' ? '; expected a JSON object, {} at least' : '';
    return asProblem(400, 'USAGE', `${messageOf(error)}${rest}`);
  }
  const [fault, words = messageOf(error)] = FRAMEWORK_FAULTS[code] ?? [];
  if (fault !== undefined) return problem(fault, words);
  // What went wrong inside is for the log.
  return asProblem(500, 'INTERNAL', 'something went wrong in the agent; its log says what');
}

interface FrameworkError {
  readonly code?: string;
  readonly validation?: unknown;
  readonly validationContext?: string;
}

function problem(fault: RequestFault, detail: string): Problem {
  return asProblem(FAULT_STATUS[fault], fault, detail);
}

function asProblem(status: number, code: Problem['code'], detail: string): Problem {
  return { type: 'about:blank', title: TITLES[status] ?? 'Error', status, detail, code };
}

/** Of errors of the agent, which over HTTP may also be that it has no log at present. */
function statusOf(code: ErrorCode): number {
  if (code === 'NOT_FOUND') return 404;
  if (code === 'USAGE') return 400;
  return code.startsWith('STORE_') ? 503 : 500;
}
