import type { FastifyInstance } from 'fastify';
import { MIRROR_ACTIONS, mirrorRequestOf, type MirrorBody } from './control-api.ts';
import { commandSchema } from './http-schemas.ts';
import type { HttpParts } from './http-parts.ts';

/** POST /api/v1/mirrors/NAME/ACTION: what `gatelog mirror` does, by whoever has the token for it. */
export function registerCommands(app: FastifyInstance, { operations }: HttpParts): void {
  for (const action of MIRROR_ACTIONS) {
    app.post<{ Params: { mirror: string }; Body: MirrorBody }>(
      `/api/v1/mirrors/:mirror/${action}`,
      { schema: commandSchema(action), config: { need: 'admin' } },
      async ({ params, body, raw }) => {
        const asked = mirrorRequestOf(action, JSON.stringify(body));
        const result = await operations.steer(params.mirror, asked, {
          by: 'http',
          from: raw.socket.remoteAddress,
        });
        return { result: result ?? {} };
      },
    );
  }
}
