import type { FastifyInstance, FastifyReply } from 'fastify';
import { GatelogError, messageOf } from '../errors.ts';
import { HTTP_LIMITS } from '../http-limits.ts';
import type { Timer } from '../time.ts';
import { parseStartPoint, START_EXPECTED } from './consume.ts';
import { brokenOffLine } from './control-api.ts';
import { HttpRefusal, problemOf } from './http-problem.ts';
import { GAPS, RECORDS } from './http-schemas.ts';
import type { HttpParts } from './http-parts.ts';
import { type SentParts, sentParts } from './send-parts.ts';

interface RecordsQuery {
  readonly partition?: number;
  readonly from?: string | number;
  readonly limit?: number;
  readonly follow?: boolean;
}

type Lines = (signal: AbortSignal) => AsyncGenerator<string>;

/** Answers that come in lines, as many as there are: records of a topic, the loss ledger. */
export function registerRecords(app: FastifyInstance, parts: HttpParts): void {
  const answers = new LineAnswers(parts);
  app.get<{ Params: { topic: string }; Querystring: RecordsQuery }>(
    '/api/v1/topics/:topic/records',
    { schema: RECORDS, config: { need: 'records' }, exposeHeadRoute: false },
    ({ params, query }, reply) => {
      const { partition, follow = false } = query;
      const from = parseStartPoint(String(query.from ?? 'beginning'));
      if (from === undefined) throw new GatelogError('USAGE', `from: expected ${START_EXPECTED}`);
      const limit = query.limit ?? (follow ? undefined : HTTP_LIMITS.recordsDefault);
      const request = { topic: params.topic, partition, from, follow, limit };
      return answers.send(reply, (signal) => parts.operations.consume(request, signal));
    },
  );
  app.get(
    '/api/v1/gaps',
    { schema: GAPS, config: { need: 'read' }, exposeHeadRoute: false },
    (_, reply) => answers.send(reply, () => parts.operations.gaps()),
  );
}

class LineAnswers {
  readonly #parts: HttpParts;
  #underWay = 0;

  constructor(parts: HttpParts) {
    this.#parts = parts;
  }

  /** Throws what is wrong before the first line; what comes later is the last line. */
  async send(reply: FastifyReply, linesOf: Lines): Promise<void> {
    if (this.#underWay >= HTTP_LIMITS.recordReaders) {
      const text = `${HTTP_LIMITS.recordReaders} answers of records are under way already`;
      throw new HttpRefusal('TOO_MANY', text, { 'retry-after': '5' });
    }
    const { raw } = reply;
    this.#parts.patient.add(raw);
    const sent = sentParts(raw, this.#parts.ending, () => this.#patience());
    const lines = linesOf(sent.signal);
    reply.hijack();
    raw.writeHead(200, {
      ...(reply.getHeaders() as Record<string, string>),
      'content-type': 'application/x-ndjson',
    });
    // There may be no line for a long time, and the reader is to know that it is heard.
    raw.flushHeaders();
    this.#underWay++;
    try {
      await this.#sendLines(reply, sent, lines);
    } finally {
      this.#underWay--;
    }
  }

  async #sendLines(
    { raw }: FastifyReply,
    sent: SentParts,
    lines: AsyncGenerator<string>,
  ): Promise<void> {
    try {
      await sent.send(lines);
    } catch (error) {
      if (error instanceof HttpRefusal) {
        raw.destroy();
        return;
      }
      this.#parts.logger.warn({ error: messageOf(error) }, 'an answer over HTTP broke off');
      const code = error instanceof GatelogError ? error.code : 'INTERNAL';
      raw.end(brokenOffLine({ code, message: problemOf(error).detail }));
    }
  }

  #patience(): { readonly over: Promise<never>; readonly cancel: () => void } {
    const { promise, reject } = Promise.withResolvers<never>();
    const timer: Timer = this.#parts.clock.after(HTTP_LIMITS.slowReaderMs, () => {
      reject(new HttpRefusal('TIMEOUT', 'the reader took nothing for too long'));
    });
    return { over: promise, cancel: () => timer.cancel() };
  }
}
