import type { ListenConfig } from '../../src/agent/config-types.ts';

/** An address as a configuration gives it that says nothing else. */
export function listenAt(url: string, more: Partial<ListenConfig> = {}): ListenConfig {
  return { url, allowAnonymous: undefined, tls: undefined, ...more };
}
