import type { ServerResponse } from 'node:http';

/** An answer that goes out in parts, and when it is over before its end. */
export interface SentParts {
  /** Aborts when the reader goes away or the agent ends. */
  readonly signal: AbortSignal;
  /**
   * One part at a time: a slow reader slows whatever makes the parts, and nothing piles up. The answer is
   * ended, or broken off where the agent ends: it is not whole then.
   */
  send(parts: AsyncIterable<string | Uint8Array>): Promise<void>;
}

/** `patience`: rejects when who reads took nothing for too long; undefined: it may take its time. */
export function sentParts(
  response: ServerResponse,
  ending: AbortSignal,
  patience: (() => { readonly over: Promise<never>; readonly cancel: () => void }) | undefined,
): SentParts {
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  // It says so once: nobody hears it who begins later.
  if (response.destroyed) gone.abort();
  const signal = AbortSignal.any([gone.signal, ending]);
  return {
    signal,
    async send(parts) {
      for await (const part of parts) {
        if (!response.write(part)) await inTime(drained(response, signal), patience);
        if (signal.aborted) break;
      }
      if (ending.aborted) response.destroy();
      else response.end();
    },
  };
}

async function inTime(
  work: Promise<void>,
  patience: Parameters<typeof sentParts>[2],
): Promise<void> {
  if (patience === undefined) return work;
  const { over, cancel } = patience();
  try {
    await Promise.race([work, over]);
  } finally {
    cancel();
  }
}

function drained(response: ServerResponse, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      response.off('drain', end);
      signal.removeEventListener('abort', end);
      resolve();
    };
    response.once('drain', end);
    signal.addEventListener('abort', end, { once: true });
    if (signal.aborted) end();
  });
}
