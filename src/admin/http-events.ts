import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { HTTP_LIMITS } from '../http-limits.ts';
import { frameOf } from './http-live.ts';
import { HttpRefusal } from './http-problem.ts';
import { EVENTS } from './http-schemas.ts';
import type { HttpParts } from './http-parts.ts';

/**
 * GET /api/v1/events. Who accepts text/event-stream gets them as they happen: `status` (what GET
 * /api/v1/status says) at once and each second, `event` for each event, beginning with those after
 * Last-Event-ID, or `after`. Others get those that are remembered.
 *
 * A listener that does not keep up misses frames (the next status says everything, and ids show events
 * that were missed); one that takes nothing for HTTP_LIMITS.slowReaderMs is hung up on.
 */
export function registerEvents(app: FastifyInstance, parts: HttpParts): void {
  app.get<{ Querystring: { after?: number } }>(
    '/api/v1/events',
    { schema: EVENTS, config: { need: 'read' }, exposeHeadRoute: false },
    async (request, reply) => {
      const isStream = request.headers.accept?.includes('text/event-stream') === true;
      const after = lastIdOf(request) ?? request.query.after;
      if (isStream) return stream(parts, after, reply);
      return { events: parts.events.after(after ?? 0) };
    },
  );
}

function lastIdOf(request: FastifyRequest): number | undefined {
  const header = request.headers['last-event-id'];
  const given = typeof header === 'string' && /^\d{1,15}$/u.test(header);
  return given ? Number(header) : undefined;
}

async function stream(
  { live, events, ending, clock, patient }: HttpParts,
  after: number | undefined,
  reply: FastifyReply,
): Promise<void> {
  if (live.listeners >= HTTP_LIMITS.listeners) {
    const text = `${HTTP_LIMITS.listeners} listen already; close a page that shows this agent`;
    throw new HttpRefusal('TOO_MANY', text, { 'retry-after': '5' });
  }
  const status = await live.status();
  const { raw } = reply;
  reply.hijack();
  // It left while the status was measured: nothing tells of that a second time.
  if (raw.destroyed) return;
  raw.writeHead(200, {
    ...(reply.getHeaders() as Record<string, string>),
    'content-type': 'text/event-stream',
  });
  patient.add(raw);
  let tookAtMs = clock.monotonicMs();
  raw.on('drain', () => {
    tookAtMs = clock.monotonicMs();
  });
  const hear = (frame: string): void => {
    const isBehind = raw.writableLength > HTTP_LIMITS.liveWaitingBytes;
    if (!isBehind) {
      if (raw.writableLength === 0) tookAtMs = clock.monotonicMs();
      raw.write(frame);
    } else if (clock.monotonicMs() - tookAtMs > HTTP_LIMITS.slowReaderMs) raw.destroy();
  };
  const end = live.listen(hear);
  const stop = (): void => void raw.destroy();
  ending.addEventListener('abort', stop, { once: true });
  raw.once('close', () => {
    end();
    ending.removeEventListener('abort', stop);
  });
  const missed = after === undefined ? [] : events.after(after);
  // As one: a large status does not crowd out what was missed, and both are bounded.
  raw.write(
    [
      'retry: 2000\n\n',
      frameOf('status', status),
      ...missed.map((event) => frameOf('event', event, event.id)),
    ].join(''),
  );
}
