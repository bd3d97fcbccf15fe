import { cp, mkdir, readFile, readdir, rm, truncate, writeFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { LedgerEntry } from '../../src/loss.ts';
import type { LogRecord, StreamId } from '../../src/record.ts';
import type { Store, TopicInfo } from '../../src/store/log.ts';
import type { StoreOptions } from '../../src/store/open.ts';
import { append, fill, FOREVER, entriesOf, onDisk, readAll, type Place } from './store-kit.ts';

/** A data folder with five segments whose files a test damages, and what was in it before. */
export interface DamageRig {
  readonly place: Place;
  readonly incarnation: string;
  readonly topic: TopicInfo;
  readonly whole: ReadonlyMap<StreamId, LogRecord[]>;
  /** Names of the segments' folders, oldest first. */
  readonly segments: readonly string[];
  path(...parts: readonly string[]): string;
  /** A file of a segment or of `state`, by the beginning or the end of its name. */
  file(folder: string, which: RegExp): Promise<string>;
}

export const SMALL: Partial<StoreOptions> = { segmentBytes: 100_000, compression: 'none' };

/** Each partition has 1500 records; a reader stands at 700 of the first. */
export async function damageRig(): Promise<DamageRig> {
  const place = await onDisk.make();
  const store = await place.open({ ...SMALL, gateway: 'gw' });
  const topic = store.writer.defineTopic('t', FOREVER);
  await fill(store, topic, 3000, { bytes: 200, perCommit: 30 });
  const [first] = topic.streams as readonly [StreamId, ...StreamId[]];
  await (await store.positions('mirror.up', { pins: true })).advance(new Map([[first, 700]]));
  const { incarnation } = store.identity;
  const whole = (await readAll(store, topic.streams)).records;
  await store.close();
  const segments = (await readdir(join(place.folder, 'log'))).toSorted();
  const path = (...parts: readonly string[]): string => join(place.folder, ...parts);
  return {
    place,
    incarnation,
    topic,
    whole,
    segments,
    path,
    file: async (folder, which) => {
      const names = (await readdir(path(folder))).filter((name) => which.test(name)).toSorted();
      const last = names.at(-1);
      if (last === undefined) throw new Error(`${folder} holds no ${which.source}`);
      return path(folder, last);
    },
  };
}

/** Makes the folder look as if the process had been killed: nothing says how far the log went. */
export async function forgetCleanClose(rig: DamageRig): Promise<void> {
  await leaveAsKilled(rig, await rig.place.open({ ...SMALL, gateway: 'gw' }));
}

/** Closes the store, and puts the folder back as it was before. */
export async function leaveAsKilled(
  { place }: Pick<DamageRig, 'place'>,
  store: Store,
): Promise<void> {
  const saved = `${place.folder}-copy`;
  await cp(place.folder, saved, { recursive: true });
  await store.close();
  await rm(place.folder, { recursive: true });
  await cp(saved, place.folder, { recursive: true });
  await rm(saved, { recursive: true });
}

export async function zero(file: string): Promise<void> {
  const { size } = await stat(file);
  await writeFile(file, Buffer.alloc(size));
}

export async function flip(file: string, at: number): Promise<void> {
  const bytes = await readFile(file);
  const index = Math.floor(at * bytes.length);
  bytes[index] = (bytes[index] ?? 0) ^ 4;
  await writeFile(file, bytes);
}

export async function empty(file: string): Promise<void> {
  await truncate(file, 0);
}

export async function replaceByFolder(file: string): Promise<void> {
  await rm(file, { recursive: true });
  await mkdir(file);
}

export async function replaceByFile(folder: string): Promise<void> {
  await rm(folder, { recursive: true });
  await writeFile(folder, 'a file');
}

export interface Survived {
  readonly store: Store;
  /** Records that could still be read. */
  readonly read: number;
  readonly ledger: readonly LedgerEntry[];
  /** What lies in `quarantine/`, notes left out. */
  readonly aside: readonly string[];
}

/**
 * Opens the damaged folder and holds it to everything that is promised: it opens, nothing wrong is
 * read, every offset is read or told as a gap, every gap stands in the ledger, no offset is given
 * twice, and a second opening finds nothing more to do.
 */
export async function survive(rig: DamageRig): Promise<Survived> {
  const { place, topic, whole } = rig;
  let store = await place.open({ ...SMALL, gateway: 'gw' });
  const appended: [StreamId, number][] = [];
  for (const stream of store.writer.defineTopic('t', FOREVER).streams) {
    const offset = await append(store, stream);
    expect(offset).toBeGreaterThanOrEqual(whole.get(stream)?.length ?? 0);
    appended.push([stream, offset]);
  }
  const before = await expectWhole(store, rig, appended);
  await store.close();
  store = await place.open({ ...SMALL, gateway: 'gw' });
  for (const [stream, offset] of appended) expect(await append(store, stream)).toBe(offset + 1);
  const after = await expectWhole(store, rig, appended);
  expect(after).toEqual(before);
  expect(store.reader.topic('t')?.streams).toEqual(topic.streams);
  const names = await readdir(join(place.folder, 'quarantine'));
  const aside = names.filter((name) => !name.endsWith('.json')).toSorted();
  for (const name of aside) expect(names).toContain(`${name}.json`);
  return { store, read: after, ledger: await entriesOf(store), aside };
}

async function expectWhole(
  store: Store,
  { topic, whole }: DamageRig,
  appended: readonly [StreamId, number][],
): Promise<number> {
  const drained = await readAll(store, topic.streams);
  let read = 0;
  for (const [stream, end] of appended) {
    const old = (drained.records.get(stream) ?? []).filter(({ offset }) => offset < end);
    for (const record of old) expect(record).toEqual(whole.get(stream)?.[record.offset]);
    read += old.length;
    let at = 0;
    const gaps = drained.gaps.filter((gap) => gap.stream === stream);
    const parts = [
      ...old.map(({ offset }) => [offset, offset + 1] as const),
      ...gaps.map(({ fromOffset, toOffset }) => [fromOffset, toOffset] as const),
    ].toSorted((left, right) => left[0] - right[0]);
    for (const [from, to] of parts) {
      expect(from).toBe(at);
      at = to;
    }
    expect(at).toBe(end);
    const partition = topic.streams.indexOf(stream);
    for (const gap of gaps) await expectInLedger(store, partition, gap.fromOffset, gap.toOffset);
  }
  return read;
}

/** It may be told a moment later: neighbours are read for it in the background. */
async function expectInLedger(
  store: Store,
  partition: number,
  from: number,
  to: number,
): Promise<void> {
  await expect
    .poll(async () => {
      let missing = to - from;
      for (const entry of await entriesOf(store)) {
        if (entry.partition !== partition || entry.topic !== 't') continue;
        const low = Math.max(from, entry.fromOffset ?? 0);
        const high = Math.min(to, entry.toOffset ?? 0);
        missing -= Math.max(0, high - low);
      }
      return missing;
    })
    .toBe(0);
}
