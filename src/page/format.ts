/** Figures as people read them, in the browser's own language where that matters. */

const WHOLE = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const SHORT = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const BYTE_UNITS = ['B', 'KB', 'MB', 'GB', 'TB', 'PB'] as const;
const SET_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;
const NOT_KNOWN = '–';

export function count(value: number | null | undefined): string {
  return value === null || value === undefined ? NOT_KNOWN : WHOLE.format(value);
}

/** Decimal units, as cards and disks are sold. */
export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return NOT_KNOWN;
  let rest = value;
  let unit = 0;
  while (Math.abs(rest) >= 1000 && unit < BYTE_UNITS.length - 1) {
    rest /= 1000;
    unit++;
  }
  const text = Math.abs(rest) >= 100 || unit === 0 ? WHOLE.format(rest) : SHORT.format(rest);
  return `${text} ${BYTE_UNITS[unit]}`;
}

/** What a person has set, in the units in which it is set: `1 GiB`. */
export function setBytes(value: number): string {
  let rest = value;
  let unit = 0;
  while (rest >= 1024 && unit < SET_UNITS.length - 1) {
    rest /= 1024;
    unit++;
  }
  return `${SHORT.format(rest)} ${SET_UNITS[unit]}`;
}

export function rate(perSecond: number | null | undefined): string {
  if (perSecond === null || perSecond === undefined) return NOT_KNOWN;
  return `${perSecond >= 10 || perSecond === 0 ? WHOLE.format(perSecond) : SHORT.format(perSecond)}/s`;
}

/** The greatest unit and the next: `3 min 5 s`. */
export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return NOT_KNOWN;
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return pair(minutes, 'min', seconds % 60, 's');
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return pair(hours, 'h', minutes % 60, 'min');
  return pair(Math.floor(hours / 24), 'd', hours % 24, 'h');
}

function pair(big: number, bigUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${big} ${bigUnit}` : `${big} ${bigUnit} ${small} ${smallUnit}`;
}

export function counted(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** In this browser's time zone. */
export function moment(time: number | string): string {
  return new Date(time).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
}

/** Only the time where it is today. */
export function shortMoment(time: string): string {
  const at = new Date(time);
  const isToday = at.toDateString() === new Date().toDateString();
  return isToday ? at.toLocaleTimeString() : at.toLocaleString();
}
