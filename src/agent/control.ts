import { lstat, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  startControlServer,
  type ControlServer,
  type ControlServerOptions,
} from '../admin/control-server.ts';
import { SOCKET_NAME, standInFolder } from '../admin/socket-path.ts';
import { messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import { QuarantineFolder } from '../store/quarantine-folder.ts';
import { type Clock, type Timer, untilBeat } from '../time.ts';
import type { StopStack } from './stop-stack.ts';

/**
 * The control socket: in the data folder, where something else in its place is set aside; in a folder
 * of its own where that can't hold one, as on a stick that is formatted for other systems. Nothing of
 * it is a reason not to serve devices.
 */
export async function startControl(
  options: ControlServerOptions,
  clock: Clock,
  stack: StopStack,
): Promise<void> {
  const { dataFolder, logger } = options;
  const quarantine = new QuarantineFolder(dataFolder, logger, clock);
  const setAside = async (file: string): Promise<void> => {
    const why = 'it stood where the control socket is, and is none';
    await quarantine.take(file, SOCKET_NAME, { why });
  };
  try {
    const control = new KeptControl({ ...options, setAside }, clock);
    await control.start();
    stack.push('the control socket', () => control.stop());
  } catch (error) {
    logger.warn(
      { event: 'agent.control', error: messageOf(error) },
      'the data folder can not hold the control socket: it gets a folder of its own',
    );
    await startStandIn(options, stack);
  }
}

/**
 * The control socket, made anew when it can't be found any more: somebody deleted it, or the disk that
 * it was on went and came back.
 */
class KeptControl {
  readonly #options: ControlServerOptions;
  readonly #clock: Clock;
  #server: ControlServer | undefined;
  #timer: Timer | undefined;
  #looking: Promise<void> | undefined;
  #stopped = false;

  constructor(options: ControlServerOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
  }

  async start(): Promise<void> {
    this.#server = await startControlServer(this.#options);
    this.#later();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#looking;
    await this.#server?.stop();
  }

  #later(): void {
    if (this.#stopped) return;
    this.#timer = this.#clock.after(untilBeat(this.#clock, LIMITS.controlCheckMs), () => {
      this.#looking = this.#look().finally(() => this.#later());
    });
  }

  async #look(): Promise<void> {
    const { dataFolder, logger } = this.#options;
    // Of a disk that is gone nothing is made in the folder where it was.
    if ((await this.#server?.isReachable()) === true || !(await holdsData(dataFolder))) return;
    try {
      await this.#server?.stop();
      this.#server = await startControlServer(this.#options);
      logger.info({ event: 'agent.control' }, 'the control socket was gone; there is a new one');
    } catch (error) {
      logger.warn(
        { event: 'agent.control', error: messageOf(error) },
        'there is no control socket: it is tried again, and until then the status can not be asked for',
      );
    }
  }
}

async function holdsData(dataFolder: string): Promise<boolean> {
  return lstat(join(dataFolder, 'state')).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

/** In a folder of its own. Without one only the status can't be asked for. */
export async function startStandIn(options: ControlServerOptions, stack: StopStack): Promise<void> {
  try {
    const dataFolder = await standInFolder(options.dataFolder);
    stack.push('the folder of the control socket', () => rmdir(dataFolder));
    const control = await startControlServer({ ...options, dataFolder });
    stack.push('the control socket', () => control.stop());
  } catch (error) {
    options.logger.warn({ error: messageOf(error) }, 'the status can not be asked for');
  }
}
