import { execFile } from 'node:child_process';
import { messageOf, systemCodeOf } from '../errors.ts';
import { SERVICE_LIMITS } from '../service-limits.ts';
import type { Logger } from '../telemetry.ts';

/** Who started us as a service and wants to hear of it: sd_notify(3). */
export interface ServiceManager {
  /** Assignments, as `READY=1`. They arrive in the order of the calls. Never rejects. */
  tell(assignments: readonly string[]): Promise<void>;
  /** It ends us when it has not heard `WATCHDOG=1` for so long; undefined: it does not. */
  readonly watchdogMs: number | undefined;
}

/**
 * Its socket takes datagrams, which Node can't send to a Unix socket: systemd's own `systemd-notify` does
 * it, a process of some milliseconds two or three times a minute. It waits until systemd has taken the
 * message, so that systemd still knows whose process it was (unit: `NotifyAccess=all`).
 */
export class NotifyingServiceManager implements ServiceManager {
  readonly watchdogMs: number | undefined;
  readonly #env: Readonly<Record<string, string>>;
  readonly #logger: Logger;
  #turn: Promise<void> = Promise.resolve();
  #failed = false;

  private constructor(
    socket: string,
    watchdogMs: number | undefined,
    path: string,
    logger: Logger,
  ) {
    this.#env = { NOTIFY_SOCKET: socket, PATH: path };
    this.watchdogMs = watchdogMs;
    this.#logger = logger;
  }

  /** undefined: nobody wants to hear of us. */
  static of(
    env: Readonly<Record<string, string | undefined>>,
    logger: Logger,
  ): NotifyingServiceManager | undefined {
    const socket = env['NOTIFY_SOCKET'] ?? '';
    if (socket === '') return undefined;
    const path = env['PATH'] ?? '/usr/bin:/bin';
    return new NotifyingServiceManager(socket, watchdogOf(env), path, logger);
  }

  tell(assignments: readonly string[]): Promise<void> {
    this.#turn = this.#turn.then(() => this.#send(assignments));
    return this.#turn;
  }

  #send(assignments: readonly string[]): Promise<void> {
    const options = { env: this.#env, timeout: SERVICE_LIMITS.notifyMs };
    return new Promise((resolve) => {
      const ended = (error: unknown): void => {
        if (error === null) this.#failed = false;
        else this.#complain(error, assignments);
        resolve();
      };
      try {
        execFile('systemd-notify', [...assignments], options, ended);
      } catch (error) {
        // Some failures are thrown, such as a kernel without memory for another process (ENOMEM).
        ended(error);
      }
    });
  }

  /** Once for a row of failures. */
  #complain(error: unknown, assignments: readonly string[]): void {
    if (this.#failed) return;
    this.#failed = true;
    const isMissing = systemCodeOf(error) === 'ENOENT';
    const why = isMissing
      ? 'there is no systemd-notify on the path (Debian: in the package systemd)'
      : messageOf(error);
    this.#logger.error(
      { event: 'service.untold', error: messageOf(error) },
      `the service manager could not be told ${assignments[0] ?? ''}: ${why}; it ends a service of ` +
        `Type=notify that it does not hear of: mend that, or set Type=exec and WatchdogSec=0`,
    );
  }
}

/** Of another process when WATCHDOG_PID is not ours, as in a program that a service starts. */
function watchdogOf(env: Readonly<Record<string, string | undefined>>): number | undefined {
  const microseconds = Number(env['WATCHDOG_USEC'] ?? '');
  const pid = env['WATCHDOG_PID'] ?? '';
  if (!Number.isFinite(microseconds) || microseconds <= 0) return undefined;
  if (pid !== '' && pid !== String(process.pid)) return undefined;
  return microseconds / 1000;
}
