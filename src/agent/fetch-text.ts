import type { IncomingMessage } from 'node:http';
import { messageOf } from '../errors.ts';
import { request } from '../http.ts';

/**
 * The text behind a URL: bounded in bytes and in time, and no redirect is followed. Not `fetch`, which loads
 * a whole client of its own. Rejects with what a person can act on.
 */
export async function fetchText(url: string, maxBytes: number, waitMs: number): Promise<string> {
  const signal = AbortSignal.timeout(waitMs);
  try {
    const response = await ask(url, signal);
    if (response.statusCode !== 200) {
      response.destroy();
      throw new Error(`it answers with status ${response.statusCode}`);
    }
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > maxBytes) throw new Error(`it answers with more than ${maxBytes} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString('utf8');
  } catch (error) {
    const why = signal.aborted ? `no answer within ${waitMs / 1000} s` : messageOf(error);
    throw new Error(`${url} can't be asked: ${why}`, { cause: error });
  }
}

async function ask(url: string, signal: AbortSignal): Promise<IncomingMessage> {
  const isSecure = url.startsWith('https:');
  const start = isSecure ? process.getBuiltinModule('node:https').request : request;
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const asked = start(url, { signal, headers: { accept: 'application/json' } }, resolve);
  asked.on('error', reject);
  asked.end();
  return promise;
}
