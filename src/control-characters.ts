/** Of the first 32 and of those from U+007F on: U+009B begins sequences as ESC [ does. */
// oxlint-disable-next-line no-control-regex -- finding them is the point
const CONTROLS = /[\u0000-\u001F]/gu;
/** C1 controls, and what turns the order of text or breaks lines without being seen. */
const HIDDEN = /[\u007F-\u009F\u061C\u200E\u200F\u2028-\u202E\u2066-\u2069]/gu;

/** Control characters of what a stranger chose could play tricks on a terminal; they are shown escaped. */
export function shownControls(text: string): string {
  const shown = text.replaceAll(CONTROLS, (character) => JSON.stringify(character).slice(1, -1));
  return shownHidden(shown);
}

/** The same where colours and ends of lines are ours, and JSON has escaped what it escapes. */
export function shownHidden(text: string): string {
  return text.replaceAll(
    HIDDEN,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
