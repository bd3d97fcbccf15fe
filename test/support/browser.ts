import { createHash, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { type Browser, chromium } from 'playwright-core';
import { toolFile } from '../setup/tools.mjs';

/** Debian's Chromium, as it is. */
export function startPlainBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: toolFile('chromium') });
}

/** Debian's Chromium. It trusts this certificate, and finds this name at 127.0.0.1. */
export function startBrowser(cert: string, name: string): Promise<Browser> {
  const { publicKey } = new X509Certificate(readFileSync(cert));
  const key = publicKey.export({ type: 'spki', format: 'der' });
  const pin = createHash('sha256').update(key).digest('base64');
  return chromium.launch({
    executablePath: toolFile('chromium'),
    args: [
      `--ignore-certificate-errors-spki-list=${pin}`,
      `--host-resolver-rules=MAP ${name} 127.0.0.1`,
    ],
  });
}

export interface PageServer {
  readonly port: number;
  close(): void;
}

/** A page that loads MQTT.js's build for browsers, at every path. */
export async function servePage(): Promise<PageServer> {
  const build = createRequire(import.meta.url).resolve('mqtt/dist/mqtt.min');
  const script = readFileSync(build);
  const server = createServer(({ url }, response) => {
    const isScript = url === '/mqtt.js';
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
    response.end(isScript ? script : '<!doctype html><script src="/mqtt.js"></script>');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
  return { port, close: () => server.close() };
}
