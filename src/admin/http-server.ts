import type { IncomingMessage, ServerResponse } from 'node:http';
import fastifySwagger from '@fastify/swagger';
import { fastify, type FastifyInstance, type FastifyReply } from 'fastify';
import { messageOf } from '../errors.ts';
import { HTTP_LIMITS } from '../http-limits.ts';
import type { Logger } from '../telemetry.ts';
import { HttpAccess, type HttpEntrance } from './http-access.ts';
import { registerCommands } from './http-commands.ts';
import { registerEvents } from './http-events.ts';
import { registerHistory } from './http-history.ts';
import { registerHealth } from './http-health.ts';
import { LiveFeed } from './http-live.ts';
import { HttpPaths } from './http-paths.ts';
import type { HttpParts, HttpServerOptions } from './http-parts.ts';
import { registerPage } from './http-page.ts';
import { loadPage } from './page-files.ts';
import { HttpRefusal, type Problem, PROBLEM_TYPE, problemOf } from './http-problem.ts';
import { registerMetrics } from './http-metrics.ts';
import { registerReading } from './http-reading.ts';
import { registerRecords } from './http-records.ts';
import { DESCRIPTION, parsedQuery } from './http-schemas.ts';

export interface HttpApp {
  handle(request: IncomingMessage, response: ServerResponse, entrance: HttpEntrance): void;
  /** The answer may be silent for long. */
  isPatient(response: ServerResponse): boolean;
  /** Ends streams; connections are their door's. */
  stop(): Promise<void>;
}

const FAMILIES = [
  registerHealth,
  registerMetrics,
  registerReading,
  registerRecords,
  registerEvents,
  registerCommands,
  registerHistory,
  registerPage,
];

/**
 * The agent's HTTP side: what is asked, checked, answered. It is loaded when the first connection comes
 * (agent/http-door.ts has the sockets), for it takes 10 MB that an agent without one does not need.
 *
 * The seam: a family of routes is a function `register…(app, parts)` in a file of its own, listed in
 * FAMILIES. A route says by `config: { need }` who may have it (absent: only who may command), and by
 * `schema` what it takes, which is checked and described in one (GET /api/v1/openapi.json). It throws
 * GatelogError or HttpRefusal, which become problem details (RFC 9457). `parts.operations` is everything
 * that can be asked of the agent; `parts.live` gives the status of this second, measured once for all.
 * Headers that every answer has are set below; a route that serves a page sets its own
 * content-security-policy over them.
 */
export async function createHttpApp(options: HttpServerOptions): Promise<HttpApp> {
  const { operations, clock, logger } = options;
  const ending = new AbortController();
  const live = new LiveFeed({ operations, events: options.events, clock, logger });
  const entrances = new WeakMap<IncomingMessage, HttpEntrance>();
  const app = fastify({
    // HEAD wherever GET is (RFC 9110, 9.1), but for answers that have no end or are long: those say so.
    exposeHeadRoutes: true,
    bodyLimit: HTTP_LIMITS.bodyBytes,
    // Before any hook: what can't be read at all.
    frameworkErrors: (error, _, reply) => {
      void sendProblem(reply.headers(EVERY_ANSWER), problemOf(error));
    },
    return503OnClosing: false,
    routerOptions: {
      maxParamLength: HTTP_LIMITS.pathParameterBytes,
      querystringParser: parsedQuery,
    },
    // What is written is what is meant: "5" is no number, and null no zero.
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: true } },
  });
  // A form of another site's page may be sent as text: here a body is JSON.
  app.removeContentTypeParser('text/plain');
  // Schemas of answers describe; nothing is left out of an answer because of one.
  app.setSerializerCompiler(() => (value) => JSON.stringify(value));
  const paths = new HttpPaths();
  app.addHook('onRoute', (route) => paths.add(route));
  answerProblems(app, paths, logger);
  const access = new HttpAccess(options.access);
  app.addHook('onRequest', async (request, reply) => {
    void reply.headers(EVERY_ANSWER);
    const entrance = entrances.get(request.raw) ?? { isLocal: false };
    const need = request.is404 ? 'nothing' : (request.routeOptions.config.need ?? 'admin');
    access.check(need, request, entrance);
  });
  await app.register(fastifySwagger, DESCRIPTION(options.version));
  const patient = new WeakSet<ServerResponse>();
  const page = await loadPage();
  const parts: HttpParts = { ...options, live, page, patient, ending: ending.signal };
  // Behind the description, which sees what is registered from then on.
  await app.register(async (inner) => {
    for (const register of FAMILIES) register(inner, parts);
  });
  await app.ready();
  return {
    handle(request, response, entrance) {
      entrances.set(request, entrance);
      app.routing(request, response);
    },
    isPatient: (response) => patient.has(response),
    async stop() {
      ending.abort();
      live.stop();
      await app.close();
    },
  };
}

const EVERY_ANSWER = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
} as const;

function sendProblem(reply: FastifyReply, problem: Problem): FastifyReply {
  return reply.status(problem.status).type(PROBLEM_TYPE).send(problem);
}

function answerProblems(app: FastifyInstance, paths: HttpPaths, logger: Logger): void {
  app.setErrorHandler((error, request, reply) => {
    const problem = problemOf(error);
    if (problem.status === 500) {
      const about = { event: 'http.failed', path: request.url, error: messageOf(error) };
      logger.error(about, `a request over HTTP failed: ${messageOf(error)}`);
    }
    if (error instanceof HttpRefusal) void reply.headers(error.headers);
    return sendProblem(reply, problem);
  });
  app.setNotFoundHandler((request) => {
    const { method, url } = request;
    const [path = ''] = url.split('?');
    const allowed = paths.methodsOf(path);
    if (allowed.length > 0) {
      const allow = allowed.join(', ');
      throw new HttpRefusal('WRONG_METHOD', `${path} takes ${allow}, not ${method}`, { allow });
    }
    const text = `there is no ${method} ${path}; GET /api/v1/openapi.json tells what there is`;
    throw new HttpRefusal('NO_SUCH_PATH', text);
  });
}
