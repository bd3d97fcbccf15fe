import { make, setClass, setText } from './dom.ts';

export interface Column<T> {
  readonly head: string;
  readonly text: (row: T) => string;
  /** Right-aligned, in figures of one width. */
  readonly isFigure?: boolean;
  /** Of the cell, beside the one for figures. */
  readonly mark?: (row: T) => string;
  readonly title?: (row: T) => string;
}

/** A table whose rows stay the same elements while their texts change. */
export class KeyedTable<T> {
  readonly #columns: readonly Column<T>[];
  readonly #keyOf: (row: T) => string;
  readonly #extra: ((row: T) => Node) | undefined;
  readonly #body: HTMLTableSectionElement;
  readonly #rows = new Map<string, HTMLTableRowElement>();

  /** `extra`: a last cell, made once a row (buttons). */
  constructor(
    table: HTMLElement,
    columns: readonly Column<T>[],
    keyOf: (row: T) => string,
    extra?: { readonly head: string; readonly of: (row: T) => Node },
  ) {
    this.#columns = columns;
    this.#keyOf = keyOf;
    this.#extra = extra?.of;
    const heads = columns.map(({ head, isFigure }) =>
      make('th', { scope: 'col', class: isFigure === true ? 'figure' : '' }, head),
    );
    if (extra !== undefined) heads.push(make('th', { scope: 'col' }, extra.head));
    this.#body = make('tbody');
    table.append(make('thead', {}, make('tr', {}, ...heads)), this.#body);
  }

  show(rows: readonly T[]): void {
    const keys = new Set(rows.map((row) => this.#keyOf(row)));
    for (const [key, element] of this.#rows) {
      if (keys.has(key)) continue;
      element.remove();
      this.#rows.delete(key);
    }
    for (const [at, row] of rows.entries()) {
      const element = this.#rowOf(row);
      this.#fill(element, row);
      const there = this.#body.children[at];
      if (there !== element) this.#body.insertBefore(element, there ?? null);
    }
  }

  #rowOf(row: T): HTMLTableRowElement {
    const key = this.#keyOf(row);
    const known = this.#rows.get(key);
    if (known !== undefined) return known;
    const cells = this.#columns.map(({ head }, at) => {
      const cell = at === 0 ? make('th', { scope: 'row' }) : make('td');
      cell.dataset['head'] = head;
      return cell;
    });
    const element = make('tr', {}, ...cells);
    if (this.#extra !== undefined) element.append(make('td', { class: 'acts' }, this.#extra(row)));
    this.#rows.set(key, element);
    return element;
  }

  #fill(element: HTMLTableRowElement, row: T): void {
    for (const [at, column] of this.#columns.entries()) {
      const cell = element.children[at];
      if (!(cell instanceof HTMLElement)) continue;
      setText(cell, column.text(row));
      const mark = column.mark?.(row) ?? '';
      setClass(cell, [column.isFigure === true ? 'figure' : '', mark].join(' ').trim());
      const title = column.title?.(row);
      if (title !== undefined && cell.title !== title) cell.title = title;
    }
  }
}
