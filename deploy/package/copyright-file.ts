import type { LicensedPart } from './licensed-part.ts';

/**
 * debian/copyright (DEP 5) with everything that is shipped: whose it is, under which licence, and that
 * licence's text, once for all that have the same.
 */
export function copyrightFile(parts: readonly LicensedPart[]): string {
  const licences = new Licences();
  const stanzas = parts.map((part) => {
    const names = part.texts.flatMap((text) => licences.named(text, part));
    if (part.texts.length === 0) names.push(licences.usual(part));
    return [
      `Files: usr/lib/gatelog/${part.files}`,
      field('Copyright', holders(part)),
      `License: ${[...new Set(names)].join(' and ')}`,
      field('Comment', [`${part.name} ${part.version}, from the npm registry.`]),
    ].join('\n');
  });
  const head = [
    'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n' +
      'Upstream-Name: gatelog',
    'Files: *\nCopyright: The gatelog authors\nLicense: Apache-2.0',
    ...stanzas,
  ];
  return `${[...head, ...licences.stanzas()].join('\n\n')}\n`;
}

/** Those that Debian has on every system. */
const COMMON = new Map([['Apache-2.0', '/usr/share/common-licenses/Apache-2.0']]);

class Licences {
  /** Name by text, both without what differs by whose it is. */
  readonly #names = new Map<string, string>();
  readonly #texts = new Map<string, string>([['Apache-2.0', commonText('Apache-2.0')]]);

  /** The name that this text has in the file. */
  named(text: string, { license, name }: LicensedPart): string[] {
    if (isApache(text)) return ['Apache-2.0'];
    const body = bodyOf(text);
    if (body === '') return [];
    const key = body.replaceAll(/[\s"'`*]+/gu, ' ').toLowerCase();
    const known = this.#names.get(key);
    if (known !== undefined) return [known];
    const base = isTextOf(license, body)
      ? license
      : `${name.replaceAll(/[@/]+/gu, '-').replace(/^-/u, '')}-licence`;
    let named = base;
    for (let count = 2; this.#texts.has(named); count++) named = `${base}-${count}`;
    this.#names.set(key, named);
    this.#texts.set(named, body);
    return [named];
  }

  /** Of a package that names its licence and has no text of it. */
  usual({ license, name }: LicensedPart): string {
    if (this.#texts.has(license)) return license;
    const common = COMMON.has(license);
    if (!common)
      throw new Error(`${name} has no licence text, and no other package has one of ${license}`);
    this.#texts.set(license, commonText(license));
    return license;
  }

  stanzas(): string[] {
    return [...this.#texts]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, text]) => [`License: ${name}`, ...indented(text)].join('\n'));
  }
}

function commonText(license: string): string {
  return `On Debian systems the text of this licence is in ${COMMON.get(license) ?? ''}.`;
}

/** And nothing else: Node's file has that text, and forty others. */
function isApache(text: string): boolean {
  return /^\s*Apache License\s+Version 2\.0/u.test(text) && text.length < 13_000;
}

/** Its words are about that licence: some files hold others', too. */
function isTextOf(license: string, body: string): boolean {
  const sign = SIGNS.get(license);
  return sign !== undefined && sign.test(body) && body.length < 4000;
}

const SIGNS = new Map([
  ['MIT', /Permission is hereby granted, free of charge/u],
  [
    'ISC',
    /Permission to use, copy, modify, and\/or distribute|Permission to use, copy, modify, and distribute/u,
  ],
  ['BSD-3-Clause', /Redistribution and use in source and binary forms/u],
  ['BSD-2-Clause', /Redistribution and use in source and binary forms/u],
]);

/** Without title and holders, which stand elsewhere, where it is no more than a usual text. */
function bodyOf(text: string): string {
  const lines = text.replaceAll('\r', '').split('\n');
  const isUsual = lines.length < 60;
  const rest = isUsual ? lines.filter((line) => !isHolder(line) && !TITLE.test(line)) : lines;
  return rest
    .join('\n')
    .replaceAll(/\n{3,}/gu, '\n\n')
    .trim();
}

const TITLE =
  /^[\s#=*_-]*(?:(?:the )?(?:\(?MIT\)?|ISC|BSD)[\w\s-]*licen[cs]e(?: \(\w+\))?:?|licen[cs]e)?[\s#=*_-]*$/iu;

function isHolder(line: string): boolean {
  return (
    /^[\s#*-]*(?:portions )?copyright\b(?! (?:notice|holder|owner|and ))|^\s*(?:\(c\)|©)/iu.test(
      line,
    ) || /^\s*all rights reserved\.?\s*$/iu.test(line)
  );
}

function holders({ texts, author, name }: LicensedPart): string[] {
  const found = texts
    .flatMap((text) => text.split(/\r?\n/u).filter(isHolder))
    .map((line) => line.replace(/^[\s#*-]+/u, '').trim())
    .filter((line) => !/^all rights/iu.test(line));
  const unique = [...new Set(found)];
  return unique.length > 0 ? unique : [author ?? `the authors of ${name}`];
}

function field(name: string, [first = '', ...rest]: readonly string[]): string {
  return [`${name}: ${first}`, ...rest.map((line) => ` ${line}`)].join('\n');
}

/** As a field of several lines holds a text. */
function indented(text: string): string[] {
  return text.split('\n').map((line) => (line.trim() === '' ? ' .' : ` ${line.trimEnd()}`));
}
