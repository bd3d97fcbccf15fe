import { stripVTControlCharacters, styleText } from 'node:util';

/** Small pieces of terminal text. Widths are columns; styles are added last and have none. */
export type Style = Parameters<typeof styleText>[0];

/** Gives text a style, or leaves it alone where colours are not wanted (NO_COLOR, no terminal). */
export type Paint = (style: Style, text: string) => string;

export const colours: Paint = (style, text) =>
  style === 'reset' ? text : styleText(style, text, { validateStream: false });
export const noColours: Paint = (_style, text) => text;

export function widthOf(text: string): number {
  return Array.from(stripVTControlCharacters(text)).length;
}

/** One line without anything that a terminal would obey. */
export function oneLine(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what is taken out
  return stripVTControlCharacters(text).replaceAll(/[\u0000-\u001f\u007f-\u009f]+/gu, ' ');
}

/** Exactly `width` columns: filled with blanks or ended with an ellipsis. Plain text only. */
export function fit(text: string, width: number): string {
  return clip(text, width).padEnd(Math.max(0, width));
}

/** At most `width` columns. Plain text only. */
export function clip(text: string, width: number): string {
  if (width <= 0) return '';
  const characters = Array.from(text);
  return characters.length <= width ? text : `${characters.slice(0, width - 1).join('')}…`;
}

/** `12,345` */
export function count(value: number | undefined): string {
  return value === undefined ? '–' : Math.round(value).toLocaleString('en-US');
}

export function plural(value: number, one: string, many: string = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

function pad(value: number): string {
  return String(value).padStart(2, '0');
}

/** `1:02`, `1:02:03` */
export function clockTime(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  return hours > 0
    ? `${hours}:${pad(minutes)}:${pad(seconds % 60)}`
    : `${minutes}:${pad(seconds % 60)}`;
}

/** `0.4 s`, `12 s`, `3m 5s` */
export function shortSeconds(ms: number): string {
  if (ms < 9950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return seconds < 120 ? `${seconds} s` : `${Math.floor(seconds / 60)}m ${seconds % 60}s`;
}

const wallClock: Intl.DateTimeFormat = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' });

/** `14:03:59`, in the zone of the machine. */
export function timeOfDay(ms: number): string {
  return wallClock.format(ms);
}

const BARS = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'] as const;

/** The last `width` values, scaled to the largest of them; 0 is the lowest bar. */
export function sparkline(values: readonly number[], width: number): string {
  if (width <= 0) return '';
  const shown = values.slice(-width);
  const top = Math.max(1, ...shown);
  return shown
    .map((value) => BARS[Math.min(7, Math.round((Math.max(0, value) / top) * 7))] ?? BARS[0])
    .join('');
}
