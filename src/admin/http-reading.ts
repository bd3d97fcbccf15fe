import type { FastifyInstance } from 'fastify';
import { GatelogError } from '../errors.ts';
import { HTTP_LIMITS } from '../http-limits.ts';
import { suggestion } from '../words.ts';
import { CLIENTS, MIRROR, MIRRORS, STATUS, TOPIC, TOPICS } from './http-schemas.ts';
import type { HttpParts } from './http-parts.ts';

/** What is asked for figures: the status, and parts of it by name. */
export function registerReading(app: FastifyInstance, { operations }: HttpParts): void {
  const config = { need: 'read' } as const;
  app.get('/api/v1/status', { schema: STATUS, config }, () => operations.status());
  app.get<{ Querystring: { limit?: number } }>(
    '/api/v1/clients',
    { schema: CLIENTS, config },
    ({ query }) => operations.clients(query.limit ?? HTTP_LIMITS.clients),
  );
  app.get('/api/v1/topics', { schema: TOPICS, config }, async () => ({
    topics: await operations.topics(),
  }));
  app.get<{ Params: { topic: string } }>(
    '/api/v1/topics/:topic',
    { schema: TOPIC, config },
    async ({ params }) => named('topic', params.topic, await operations.topics()),
  );
  app.get('/api/v1/mirrors', { schema: MIRRORS, config }, async () => ({
    mirrors: await operations.mirrors(),
  }));
  app.get<{ Params: { mirror: string } }>(
    '/api/v1/mirrors/:mirror',
    { schema: MIRROR, config },
    async ({ params }) => named('mirror', params.mirror, await operations.mirrors()),
  );
  app.get('/api/v1/openapi.json', { schema: { hide: true }, config }, () => app.swagger());
}

function named<T extends { readonly name: string }>(
  kind: string,
  name: string,
  all: readonly T[],
): T {
  const found = all.find((one) => one.name === name);
  if (found !== undefined) return found;
  const known = all.map((one) => one.name);
  throw new GatelogError(
    'NOT_FOUND',
    `there is no ${kind} ${JSON.stringify(name)}${suggestion(name, known)}`,
  );
}
