import type { FastifyInstance } from 'fastify';
import type { HttpParts } from './http-parts.ts';
import { METRICS } from './http-schemas.ts';
import type { Metrics } from './metrics.ts';
import { processFigures } from './process-figures.ts';

/** GET /metrics, for Prometheus. What makes its text is loaded when it is asked for first. */
export function registerMetrics(app: FastifyInstance, { live, events }: HttpParts): void {
  let metrics: Metrics | undefined;
  app.get('/metrics', { schema: METRICS, config: { need: 'read' } }, async (_, reply) => {
    metrics ??= new (await import('./metrics.ts')).Metrics();
    const [status, process] = await Promise.all([live.status(), processFigures()]);
    const text = await metrics.text({ status, process, logged: events.counts() });
    return reply.type(metrics.contentType).serializer(String).send(text);
  });
}
