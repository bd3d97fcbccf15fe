import type { FastifyInstance } from 'fastify';
import { HISTORY } from './http-schemas.ts';
import type { HttpParts } from './http-parts.ts';

/** GET /api/v1/history: what the charts of the status page show. */
export function registerHistory(app: FastifyInstance, { history }: HttpParts): void {
  app.get('/api/v1/history', { schema: HISTORY, config: { need: 'read' } }, () => history.view());
}
