import { assert } from './assert.ts';

/** Bounds of what is said to the service manager (systemd). */
export const SERVICE_LIMITS = {
  /** While the agent starts it asks for more time so often, and each time for so much. */
  extendEveryMs: 15_000,
  extendByMs: 60_000,
  /** A start that takes longer than all of this is ended by the service manager, and tried anew. */
  startMs: 1_800_000, // 30 min
  /** The line of `systemctl status` is renewed so often where there is no watchdog. */
  statusEveryMs: 60_000,
  /** The watchdog is fed so many times in its interval. */
  watchdogFeeds: 3,
  /** It is fed while the disk has answered what was asked of it within this share of the interval. */
  stallShare: 0.5,
  /** One message to it may take so long. */
  notifyMs: 10_000,
  /** The line of `systemctl status`. */
  statusChars: 300,
} as const;

assert(
  SERVICE_LIMITS.extendEveryMs * 2 < SERVICE_LIMITS.extendByMs,
  'one request for more time may get lost',
);
