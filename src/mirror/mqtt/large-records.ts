import type { MqttClient } from 'mqtt';
import type { Logger } from '../../telemetry.ts';
import type { Clock, Timer } from '../../time.ts';
import { formatDuration, formatSize } from '../../units.ts';
import type { LargePatience } from '../large-patience.ts';
import type { SendWindow } from './send-window.ts';

export interface LargeRecordsOptions {
  readonly client: Pick<MqttClient, 'once' | 'reschedulePing' | 'sendPing'>;
  readonly where: string;
  readonly window: SendWindow;
  /** Begun for this session. */
  readonly patience: LargePatience;
  readonly keepaliveMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * A large packet on a thin link: acknowledgements and answers to pings come after it only. While one is
 * waited for, it tells whether the far side lives, not the library's pings; and where it came too late
 * for this session, the next one waits for longer.
 */
export function followLarge(options: LargeRecordsOptions): void {
  const { client, window, patience, keepaliveMs, clock } = options;
  let timer: Timer;
  const beat = (): void => {
    if (window.oldest !== undefined) {
      client.sendPing(); // The far side wants one, and the next line puts the library's off.
      client.reschedulePing(true);
    }
    timer = clock.after(keepaliveMs, beat);
  };
  timer = clock.after(keepaliveMs, beat);
  client.once('close', () => {
    timer.cancel();
    if (window.slowestMs !== undefined) patience.carried(window.slowestMs);
    const { oldest } = window;
    if (oldest === undefined || clock.monotonicMs() - oldest.sentMs < patience.ms) return;
    noteLate(options, oldest.bytes);
  });
}

function noteLate({ where, patience, logger }: LargeRecordsOptions, bytes: number): void {
  const waitedMs = patience.ms;
  const nextMs = patience.late(bytes);
  if (nextMs === undefined) return;
  const next =
    nextMs > waitedMs
      ? `it is given ${formatDuration(nextMs)} next`
      : `that is as long as it may take: a faster link, or 'gatelog mirror skip', gets the mirror past it`;
  logger.warn(
    { event: 'mirror.slow-record', bytes, waitedMs, nextMs },
    `${where}: a record of ${formatSize(bytes)} was not acknowledged within ${formatDuration(waitedMs)}; ${next}`,
  );
}
