import { isMap, isPair, isScalar, isSeq, type Node, type Pair, parseDocument } from 'yaml';

/** What config/gatelog.yaml says of an option: the comment before it, and the value beside it. */
export interface OptionWords {
  readonly comment: string;
  /** As it stands there; undefined: it is a map or a list of maps. */
  readonly value: string | undefined;
  readonly plain: unknown;
}

/** Every `#option: value` line made a line; an empty default (`users: []`) gives way to it. */
export function uncommented(text: string): string {
  return text
    .replaceAll(/^( *)(\w+): (?:\[\]|\{\})\n\1#\2:$/gmu, '$1$2:')
    .replaceAll(/^( *)#(?=[^\s#])/gmu, '$1');
}

/** By dotted key, free names as `*`, items as `[]`; of what stands there twice the first that says something. */
export function wordsIn(reference: string, free: ReadonlySet<string>): Map<string, OptionWords> {
  const words = new Map<string, OptionWords>();
  const walk = (node: unknown, above: string): void => {
    if (isSeq(node)) for (const item of node.items) walk(item, `${above}[]`);
    if (!isMap(node)) return;
    let comment = node.commentBefore ?? '';
    for (const pair of node.items as Pair<Node, Node | null>[]) {
      if (!isPair(pair) || !isScalar(pair.key)) continue;
      const name = free.has(above) ? '*' : String(pair.key.value);
      const key = above === '' ? name : `${above}.${name}`;
      const all = [comment, pair.key.commentBefore ?? ''].filter(Boolean).join('\n');
      // What stands first in the file is of the whole of it, up to an empty line.
      const said = words.size === 0 ? (all.split('\n\n').at(-1) ?? '') : all;
      comment = '';
      const known = words.get(key);
      if (known === undefined || (known.comment === '' && said !== '')) {
        words.set(key, { comment: said, ...valueOf(pair.value) });
      }
      walk(pair.value, key);
    }
  };
  walk(parseDocument(uncommented(reference)).contents, '');
  return words;
}

function valueOf(node: Node | null): Pick<OptionWords, 'value' | 'plain'> {
  if (node === null) return { value: undefined, plain: undefined };
  const plain: unknown = node.toJSON();
  if (isScalar(node)) return { value: node.source ?? String(node.value), plain };
  const isFlat = isSeq(node) && node.items.every((item) => isScalar(item));
  return { value: isFlat ? JSON.stringify(plain) : undefined, plain };
}
