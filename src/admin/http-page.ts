import type { FastifyInstance } from 'fastify';
import { HttpRefusal } from './http-problem.ts';
import type { HttpParts } from './http-parts.ts';

/** The page may run its own files and talk to its own agent, and nothing else. */
const PAGE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "form-action 'none'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ');

/**
 * The status page: GET / and the files beside it, which tell nothing of the gateway. What it shows it asks the
 * API for, with the token that it is given.
 */
export function registerPage(app: FastifyInstance, { page }: HttpParts): void {
  const options = { schema: { hide: true }, config: { need: 'nothing' } } as const;
  if (page.length === 0) {
    app.get('/', options, () => {
      throw new HttpRefusal('NO_SUCH_PATH', 'the status page is not built here: npm run build');
    });
  }
  for (const { name, type, etag, whole, packed } of page) {
    app.get(name === 'index.html' ? '/' : `/${name}`, options, async ({ headers }, reply) => {
      const isPacked = headers['accept-encoding']?.includes('gzip') === true;
      void reply.headers({
        'content-security-policy': PAGE_POLICY,
        'cache-control': 'no-cache',
        vary: 'accept-encoding',
        etag,
      });
      if (headers['if-none-match'] === etag) return reply.status(304).send();
      if (isPacked) void reply.header('content-encoding', 'gzip');
      return reply.type(type).send(isPacked ? packed : whole);
    });
  }
}
