import { GatelogError, messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock, Timer } from '../time.ts';
import { formatSize } from '../units.ts';
import type { Engine } from './database.ts';
import type { DiskGate } from './disk-gate.ts';
import { DiskLadder, unitOf, type LadderChange } from './disk-ladder.ts';
import type { DiskReserve } from './disk-reserve.ts';
import type { DiskSpace } from './disk-space.ts';
import type { DiskUsage } from './disk-usage.ts';
import type { DiskStatus } from './log.ts';
import type { LogState } from './log-state.ts';

export interface DiskKeeperOptions {
  readonly engine: Engine;
  readonly gate: DiskGate;
  readonly reserve: DiskReserve;
  readonly usage: DiskUsage;
  readonly space: DiskSpace;
  readonly state: LogState;
  readonly maxBytes: number | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Measure {
  readonly freeBytes: number | undefined;
  readonly totalBytes: number | undefined;
  readonly folderBytes: number | undefined;
  /** The smaller one of the disk and of the cap. */
  readonly size: number;
  readonly roomBytes: number;
  /** The cap leaves less than the disk. */
  readonly capped: boolean;
}

/**
 * Keeps the log within the disk, and within the cap of its folder: measures the room, climbs and
 * descends the ladder, and does what each step asks for. Steps are told once each.
 */
export class DiskKeeper {
  readonly #options: DiskKeeperOptions;
  readonly #ladder = new DiskLadder();
  #measure: Measure | undefined;
  #measuredMs = -Infinity;
  /** Bytes appended when it was measured, and the room then, with what was freed since. */
  #measuredAt = 0;
  #roomThen = Infinity;
  #checking: Promise<void> | undefined;
  #timer: Timer | undefined;
  #closed = false;
  /** Writes that found no room, in a row, and until when that is heeded. */
  #fullInARow = 0;
  #heededUntilMs = -Infinity;
  #blocked = '';
  /** Wall clock in ms: records went that a mirror had not had. */
  #lastDroppedMs: number | undefined;

  constructor(options: DiskKeeperOptions) {
    this.#options = options;
    options.gate.touch = () => this.touch();
    options.gate.full = () => this.#full();
    options.gate.wrote = () => {
      if (this.#heededUntilMs <= options.clock.monotonicMs()) this.#fullInARow = 0;
    };
  }

  /** Measures in the background when the last measure is old, or much was written since. */
  touch(): void {
    const { clock, state } = this.#options;
    const unit = unitOf(this.#measure?.size ?? Infinity);
    // A measure may take its time on a busy disk: what was written since is reckoned with.
    if (this.#measure !== undefined && this.#room < unit) this.#observe(this.#room, this.#measure);
    if (this.#checking !== undefined) return;
    const much = state.bytesAppended - this.#measuredAt > unit * LIMITS.diskMeasureUnits;
    if (!much && clock.monotonicMs() - this.#measuredMs < LIMITS.diskFreeMs) return;
    void this.check();
  }

  /** Only looks: to make room may take longer than a start has. Never rejects. */
  begin(): Promise<void> {
    return this.#once(false);
  }

  /** Resolves when the measure is not old. Never rejects. */
  async measured(): Promise<void> {
    this.touch();
    await this.#checking;
  }

  /** Never rejects. */
  check(): Promise<void> {
    return this.#closed ? Promise.resolve() : this.#once(true);
  }

  #once(mayFree: boolean): Promise<void> {
    this.#checking ??= this.#check(mayFree).finally(() => {
      this.#checking = undefined;
    });
    return this.#checking;
  }

  status(): DiskStatus {
    const { gate, reserve, maxBytes, space } = this.#options;
    const { freeBytes, totalBytes, folderBytes, roomBytes } = this.#measure ?? {};
    return {
      step: this.#ladder.step,
      entered: { ...this.#ladder.entered },
      freeBytes: freeBytes ?? null,
      totalBytes: totalBytes ?? null,
      folderBytes: folderBytes ?? null,
      maxBytes: maxBytes ?? null,
      roomBytes: roomBytes !== undefined && Number.isFinite(roomBytes) ? roomBytes : null,
      reserveBytes: reserve.bytes,
      reserveTargetBytes: reserve.targetBytes,
      segmentsDropped: space.segmentsDropped,
      recordsDropped: space.recordsDropped,
      lastDroppedMs: this.#lastDroppedMs ?? null,
      refused: gate.refused,
      refusal: gate.refusal?.message ?? null,
      refusedTopics: space.topicsOf(gate.refusedStreams.keys()),
    };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#checking;
    await this.#options.reserve.close();
  }

  /** The measure may know nothing of it, as with quotas: it is heeded for a while, then tried again. */
  #full(): void {
    const { clock } = this.#options;
    // The first may be chance: the log was opened again, and is tried at once.
    const wait = this.#fullInARow === 0 ? 0 : LIMITS.diskFullFirstMs * 2 ** (this.#fullInARow - 1);
    this.#fullInARow++;
    this.#heededUntilMs = clock.monotonicMs() + Math.min(wait, LIMITS.diskFullMaxMs);
    void this.check();
  }

  async #check(mayFree: boolean): Promise<void> {
    const { clock, logger, reserve, state } = this.#options;
    try {
      const appended = state.bytesAppended;
      const measure = await this.#look();
      this.#measure = measure;
      this.#measuredAt = appended;
      this.#roomThen = measure.roomBytes;
      let roomBytes = this.#room;
      const heeds = clock.monotonicMs() < this.#heededUntilMs;
      if (heeds) roomBytes = Math.min(roomBytes, 0);
      this.#observe(roomBytes, measure);
      const { gate } = this.#options;
      // What it says of the disk is what the disk is now.
      if (gate.refusal !== undefined) gate.refusal = this.#refusal(measure);
      const isBelieved = !heeds || this.#fullInARow >= LIMITS.diskFullBelieved;
      if (mayFree && isBelieved) await this.#free(measure, roomBytes);
      reserve.tend(!this.#ladder.reached('drop-mirrored') && !this.#closed);
    } catch (error) {
      logger.warn({ error: messageOf(error) }, 'the room on the disk could not be looked after');
    }
    this.#measuredMs = clock.monotonicMs();
    const calm = this.#ladder.step === 'ok' && reserve.complete;
    if (!calm && !this.#closed) this.#later();
  }

  #later(): void {
    this.#timer?.cancel();
    this.#timer = this.#options.clock.after(LIMITS.diskFreeMs, () => void this.check());
  }

  async #look(): Promise<Measure> {
    const { engine, reserve, usage, maxBytes } = this.#options;
    const disk = await engine.room?.();
    const size = Math.min(disk?.totalBytes ?? Infinity, maxBytes ?? Infinity);
    await reserve.measure(size);
    const folderBytes = maxBytes === undefined ? undefined : await usage.folderBytes();
    const onDisk = (disk?.freeBytes ?? Infinity) - reserve.missingBytes;
    const inCap =
      maxBytes === undefined || folderBytes === undefined
        ? Infinity
        : maxBytes - folderBytes - reserve.missingBytes;
    return {
      freeBytes: disk?.freeBytes,
      totalBytes: disk?.totalBytes,
      folderBytes,
      size,
      roomBytes: Math.min(onDisk, inCap),
      capped: inCap < onDisk,
    };
  }

  #observe(roomBytes: number, measure: Measure): void {
    const change = this.#ladder.observe(roomBytes, unitOf(measure.size));
    const { gate } = this.#options;
    const refuses = this.#ladder.step === 'refuse';
    if (refuses !== (gate.refusal !== undefined)) {
      gate.refusal = refuses ? this.#refusal(measure) : undefined;
    }
    if (change !== undefined) this.#tell(change, roomBytes, measure);
  }

  /** Now, as far as it is known. */
  get #room(): number {
    return this.#roomThen - (this.#options.state.bytesAppended - this.#measuredAt);
  }

  /** Gives up a segment at a time, as long as the ladder asks for room. */
  async #free(measure: Measure, room: number): Promise<void> {
    const { space, gate, clock } = this.#options;
    let roomBytes = room;
    let blocked: ReadonlySet<number> = new Set();
    for (let count = 0; count < LIMITS.diskDropsAtOnce; count++) {
      if (!this.#ladder.reached('drop-mirrored') || this.#closed) break;
      const before = space.recordsDropped;
      const freed = await space.freeOne({
        unmirrored: this.#ladder.reached('drop-unmirrored'),
        missingBytes: this.#ladder.missing(Math.min(roomBytes, this.#room), unitOf(measure.size)),
        capped: measure.capped,
      });
      if (space.recordsDropped > before) this.#lastDroppedMs = clock.nowMs();
      if (freed.kind === 'waits') break;
      if (freed.kind === 'nothing') {
        blocked = freed.blocking;
        break;
      }
      // What was removed counts at once; some disks take their time to say so.
      this.#roomThen += freed.bytes;
      roomBytes += freed.bytes;
      this.#observe(Math.min(roomBytes, this.#room), measure);
    }
    if (blocked.size === 0) gate.openStreams();
    else gate.refusedStreams = space.refusals(blocked);
    this.#tellBlocked(space.topicsOf(blocked));
  }

  #tellBlocked(topics: readonly string[]): void {
    const names = topics.join(', ');
    if (names === this.#blocked) return;
    this.#blocked = names;
    const { logger } = this.#options;
    if (names === '') logger.info({ event: 'disk.topics' }, 'all topics take records again');
    else {
      logger.error(
        { event: 'disk.topics', topics },
        `no segment can be given up without what ${names} may not lose (onFull: refuse): ` +
          `appends to it are refused`,
      );
    }
  }

  #refusal({ capped, freeBytes, folderBytes }: Measure): GatelogError {
    const { engine, maxBytes, reserve } = this.#options;
    const { bytes, targetBytes } = reserve;
    const there = bytes < targetBytes ? `${formatSize(bytes)} of ` : '';
    const kept = `${there}${formatSize(targetBytes)} are kept in reserve`;
    const state = capped
      ? `${engine.folder} takes ${formatSize(folderBytes ?? 0)} of the ${formatSize(maxBytes ?? 0)} that store.maxBytes allows, of which ${kept}`
      : `the disk of ${engine.folder} has ${formatSize(freeBytes ?? 0)} left, and ${kept}`;
    return new GatelogError(
      'STORE_FULL',
      `${state}, so nothing is stored: free space, let a mirror catch up, or lower the topics' retention`,
    );
  }

  #tell({ from, to }: LadderChange, roomBytes: number, measure: Measure): void {
    const { logger, gate } = this.#options;
    const { freeBytes, totalBytes, folderBytes } = measure;
    const fields = { event: 'disk.step', from, to, roomBytes, freeBytes, totalBytes, folderBytes };
    const worse = this.#ladder.reached('warn');
    const text =
      to === 'refuse' ? (gate.refusal?.message ?? '') : `the disk is at step ${to} (was ${from})`;
    if (to === 'refuse') logger.error(fields, text);
    else if (worse) logger.warn(fields, text);
    else logger.info(fields, `the disk has room again (was ${from})`);
  }
}
