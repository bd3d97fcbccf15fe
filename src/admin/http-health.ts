import type { FastifyInstance } from 'fastify';
import { HEALTH, READINESS } from './http-schemas.ts';
import type { HttpParts } from './http-parts.ts';
import { unreadyOf } from './readiness.ts';

/**
 * GET /healthz: the process turns. GET /readyz: devices may connect, and what they send is stored; else
 * 503. What a mirror does is neither: a link that is down is no reason to restart a gateway.
 */
export function registerHealth(app: FastifyInstance, { live }: HttpParts): void {
  const open = { config: { need: 'nothing' } } as const;
  app.get('/healthz', { schema: HEALTH, ...open }, () => ({ status: 'ok' }));
  app.get('/readyz', { schema: READINESS, ...open }, async (_, reply) => {
    const reasons = unreadyOf(await live.status());
    if (reasons.length === 0) return { status: 'ok' };
    return reply.status(503).send({ status: 'unready', reasons });
  });
}
