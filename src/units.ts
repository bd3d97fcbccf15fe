export const HOUR_MS = 3_600_000;
export const DAY_MS = 86_400_000;

/** Sizes and durations as people write them in configuration: `64MiB`, `7d`. */
const SIZE = /^(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB|TiB|kB|MB|GB|TB)?$/u;
const SIZE_UNITS: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
};

const DURATION = /^(\d+(?:\.\d+)?)\s*(ms|s|m|min|h|d|w)$/u;
const DURATION_UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  min: 60_000,
  h: HOUR_MS,
  d: DAY_MS,
  w: 604_800_000,
};

const RATE = /^(\d+(?:\.\d+)?)\s*(bit|kbit|Mbit|Gbit)\/s$/u;
const RATE_UNITS: Readonly<Record<string, number>> = { bit: 1, kbit: 1e3, Mbit: 1e6, Gbit: 1e9 };

/** Bits a second, or undefined when the text is no rate. The unit is required: `512kbit/s`. */
export function parseRate(text: string): number | undefined {
  const parts = RATE.exec(text.trim());
  if (parts === null) return undefined;
  return Math.round(Number(parts[1]) * (RATE_UNITS[parts[2] ?? 'bit'] ?? 1));
}

/** As parseRate reads it: `64 kbit/s`, `1.5 Mbit/s`. */
export function formatRate(bitsPerSecond: number): string {
  const units = ['bit/s', 'kbit/s', 'Mbit/s', 'Gbit/s'];
  let value = bitsPerSecond;
  let unit = 0;
  while (value >= 999.95 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${Number(value.toFixed(unit === 0 ? 0 : 1))} ${units[unit] ?? 'bit/s'}`;
}

/** Bytes, or undefined when the text is no size. A bare number is bytes. */
export function parseSize(text: string): number | undefined {
  const parts = SIZE.exec(text.trim());
  if (parts === null) return undefined;
  return Math.round(Number(parts[1]) * (SIZE_UNITS[parts[2] ?? 'B'] ?? 1));
}

/** Milliseconds, or undefined when the text is no duration. The unit is required. */
export function parseDuration(text: string): number | undefined {
  const parts = DURATION.exec(text.trim());
  if (parts === null) return undefined;
  return Math.round(Number(parts[1]) * (DURATION_UNITS[parts[2] ?? 'ms'] ?? 1));
}

export function formatSize(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit] ?? 'B'}`;
}

/** In units of a thousand, as disks and what they are rated for are sold: `5.3 GB`. */
export function formatDiskSize(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.95 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit] ?? 'B'}`;
}

/** The two largest units that matter: `3d 4h`, `12m 5s`, `850ms`. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)}ms`;
  const seconds = Math.round(ms / 1000);
  const parts: [number, string][] = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'm'],
    [seconds % 60, 's'],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count}${unit}`)
    .join(' ');
}
