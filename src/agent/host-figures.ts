import { readdir, readFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg, totalmem, uptime } from 'node:os';
import { join } from 'node:path';
import { HEALTH_LIMITS } from '../health-limits.ts';
import type { HostHealth, InterfaceHealth } from '../health.ts';
import { KERNEL, type KernelFolders } from './wear-files.ts';

/** The host as its kernel tells of it; times of its cores count from its start. */
export interface HostFigures extends Omit<HostHealth, 'cpuShare'> {
  readonly cpuBusyMs: number;
  readonly cpuTotalMs: number;
}

/** Never rejects: what can't be read is null. */
export async function hostFigures(kernel: KernelFolders = KERNEL): Promise<HostFigures> {
  const [one = 0, five = 0, fifteen = 0] = loadavg();
  const times = cpus().map((cpu) => cpu.times);
  const total = times.reduce((sum, { user, nice, sys, idle, irq }) => {
    return sum + user + nice + sys + idle + irq;
  }, 0);
  const idle = times.reduce((sum, each) => sum + each.idle, 0);
  const [memory, temperatureC, interfaces] = await Promise.all([
    textOf(join(kernel.proc, 'meminfo')),
    hottest(join(kernel.sys, 'class/thermal')),
    interfacesIn(join(kernel.sys, 'class/net')),
  ]);
  const [, available] = /^MemAvailable:\s+(\d+) kB$/mu.exec(memory ?? '') ?? [];
  return {
    uptimeMs: Math.round(uptime() * 1000),
    cores: availableParallelism(),
    load: [one, five, fifteen],
    memoryBytes: totalmem(),
    memoryAvailableBytes: available === undefined ? null : Number(available) * 1024,
    temperatureC,
    interfaces,
    cpuBusyMs: total - idle,
    cpuTotalMs: total,
  };
}

/** Colder, or hotter, is a sensor that is not there: some say -274 °C, or 0 K. */
const COLDEST_C = -60;
const HOTTEST_C = 200;

async function hottest(folder: string): Promise<number | null> {
  const zones = (await namesIn(folder)).filter((name) => name.startsWith('thermal_zone'));
  const texts = await Promise.all(zones.map((zone) => textOf(join(folder, zone, 'temp'))));
  const degrees = texts
    .filter((text) => text !== undefined && /^-?\d+$/u.test(text))
    .map((text) => Number(text) / 1000)
    .filter((each) => each > COLDEST_C && each < HOTTEST_C);
  return degrees.length === 0 ? null : Math.max(...degrees);
}

/** Without the loopback. */
async function interfacesIn(folder: string): Promise<InterfaceHealth[]> {
  const names = (await namesIn(folder)).filter((name) => name !== 'lo');
  const first = names.toSorted().slice(0, HEALTH_LIMITS.interfaces);
  return Promise.all(
    first.map(async (name) => {
      const state = (await textOf(join(folder, name, 'operstate'))) ?? 'unknown';
      return { name, state: state.slice(0, HEALTH_LIMITS.textChars) };
    }),
  );
}

function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => []);
}

async function textOf(file: string): Promise<string | undefined> {
  return (await readFile(file, 'utf8').catch(() => undefined))?.trim();
}
