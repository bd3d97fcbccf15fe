import { mqttFilterTrouble } from './route.ts';

/**
 * Shared subscriptions as the device writes them, `$share/NAME/FILTER` (MQTT 5, section 4.8.2), and as
 * they are handed to aedes, which would refuse them: under a prefix below `$SYS/`, where no device may
 * publish, so that there they match nothing. broker-shared.ts delivers to them.
 */
export interface Share {
  readonly name: string;
  readonly filter: string;
}

const ASKED = '$share/';
const MARKER = '$SYS/share/';
/** What aedes is given for what is no filter: a marker of no share, which nobody is granted. */
export const NO_FILTER: string = MARKER;
/** Of a marker, and of what is asked for, beside those of the filter. */
export const MARKER_LEVELS = 3;
export const ASKED_LEVELS = 2;

export function isShareAsked(filter: string): boolean {
  return filter.startsWith(ASKED);
}

export function isShareMarker(filter: string): boolean {
  return filter.startsWith(MARKER);
}

/** What aedes is given for a filter: a marker for `$share/NAME/FILTER`; NO_FILTER: it is not well-formed. */
export function filterForAedes(asked: string): string {
  if (asked === '') return asked; // malformed [MQTT-4.7.3-1]: aedes ends the connection
  const filter = isShareAsked(asked) ? MARKER + asked.slice(ASKED.length) : asked;
  if (filter !== asked && shareOf(filter) === undefined) return NO_FILTER;
  return mqttFilterTrouble(matchedFilter(filter)) === undefined ? filter : NO_FILTER;
}

/** The share behind a marker. */
export function shareOf(marker: string): Share | undefined {
  if (!isShareMarker(marker)) return undefined;
  const rest = marker.slice(MARKER.length);
  const end = rest.indexOf('/');
  const name = rest.slice(0, Math.max(end, 0));
  const filter = rest.slice(end + 1);
  // [MQTT-4.8.2-1] and [MQTT-4.8.2-2]
  return name === '' || /[+#]/u.test(name) || filter === '' ? undefined : { name, filter };
}

/** The filter as the device wrote it. */
export function filterAsAsked(filter: string): string {
  return isShareMarker(filter) ? ASKED + filter.slice(MARKER.length) : filter;
}

/** The filter that topics are to match. */
export function matchedFilter(filter: string): string {
  return shareOf(filter)?.filter ?? filter;
}
