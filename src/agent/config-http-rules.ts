import type { Say } from './config-pairs.ts';
import type { HttpConfig } from './config-types.ts';
import { parseHttpAddress } from './http-address.ts';

/** Who reaches an address from elsewhere has a token, and it does not go readable for all. */
export function checkHttp(http: HttpConfig, error: Say, warn: Say): void {
  const seen = new Set<string>();
  for (const [index, url] of http.listen.entries()) {
    const at = ['http', 'listen', index];
    const address = parseHttpAddress(url);
    if (seen.has(url)) error(at, `${url} is listed twice`);
    seen.add(url);
    if (address === undefined) continue;
    if (address.secure && http.tls === undefined) {
      error(['http', 'tls'], `expected cert and key, found nothing: ${url} is with TLS`);
    }
    if (address.isLocal) continue;
    if (http.token === undefined && http.adminToken === undefined) {
      const text = `expected http.token or http.adminToken, found neither: anybody who reaches ${url} could read what devices send`;
      error(at, text);
    }
    if (!address.secure && !http.allowPlain) {
      const text = `expected https, found http: tokens would go readable for all. Name a certificate (http.tls), or write http.allowPlain: true if something before the agent has one`;
      error(at, text);
    }
  }
  if (http.token !== undefined && http.token === http.adminToken) {
    warn(['http', 'adminToken'], 'is http.token: who may read may command');
  }
}
