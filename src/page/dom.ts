/** What the page's parts share of the document. */

/** Throws for a name that the page does not have: page and script are of one build. */
export function part(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no part "${id}"`);
  return found;
}

export interface Attributes {
  readonly class?: string;
  readonly title?: string;
  readonly scope?: string;
  readonly type?: string;
  readonly 'aria-label'?: string;
}

export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.append(...children);
  return made;
}

/** Untouched where nothing changes: screen readers, selections and focus stay where they are. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

export function setClass(element: Element, name: string): void {
  if (element.className !== name) element.className = name;
}

export function setHidden(element: HTMLElement, hidden: boolean): void {
  if (element.hidden !== hidden) element.hidden = hidden;
}

export function setItems(list: Element, texts: readonly string[]): void {
  const now = [...list.children].map((item) => item.textContent);
  if (now.length === texts.length && now.every((text, at) => text === texts[at])) return;
  list.replaceChildren(...texts.map((text) => make('li', {}, text)));
}
