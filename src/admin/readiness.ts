import type { AgentStatus } from './status.ts';

/** What may keep an agent from being ready; names are API, and tell a stranger nothing. */
export const UNREADY = ['no-log', 'not-listening', 'disk'] as const;
export type Unready = (typeof UNREADY)[number];

/** Devices may connect, and what they send is stored: then it is ready, and this is empty. */
export function unreadyOf({ degraded, ingest, store }: AgentStatus): Unready[] {
  const reasons: Unready[] = [];
  if (degraded !== null || store === null) reasons.push('no-log');
  if (ingest === null) reasons.push('not-listening');
  if ((store?.trouble ?? store?.disk.refusal ?? null) !== null) reasons.push('disk');
  return reasons;
}
