/**
 * Takes secrets out of texts that leave the machine: those that are known, and what looks like one. It
 * rather takes out too much.
 */
export class Scrubber {
  readonly #known: readonly string[];
  #removed = 0;

  /** Shorter ones can't be looked for without taking everything apart. */
  static readonly shortest: number = 4;

  constructor(secrets: readonly string[]) {
    this.#known = [...new Set(secrets.flatMap(formsOf))]
      .filter((text) => text.length >= Scrubber.shortest)
      // A secret that holds another goes whole.
      .toSorted((one, other) => other.length - one.length);
  }

  /** How many were taken out so far. */
  get removed(): number {
    return this.#removed;
  }

  text(given: string): string {
    let text = given;
    for (const secret of this.#known) {
      if (text.includes(secret)) text = text.replaceAll(secret, () => this.#take());
    }
    for (const { pattern, keep } of PATTERNS) {
      text = text.replaceAll(pattern, (_, before: unknown) =>
        keep ? `${String(before)}${this.#take()}` : this.#take(),
      );
    }
    return text;
  }

  /** Of what is JSON the form stays. */
  json(value: unknown): unknown {
    if (typeof value === 'string') return this.text(value);
    if (Array.isArray(value)) return value.map((item) => this.json(item));
    if (typeof value !== 'object' || value === null) return value;
    const entries = Object.entries(value).map(([name, inner]): [string, unknown] => {
      const isHidden = typeof inner === 'string' && inner !== '' && SECRET_NAME.test(name);
      return [this.text(name), isHidden ? this.#take() : this.json(inner)];
    });
    return Object.fromEntries(entries);
  }

  /** Lines, each of which may be JSON. */
  lines(text: string): string {
    return text
      .split('\n')
      .map((line) => {
        const value = line.startsWith('{') ? parsed(line) : undefined;
        return value === undefined ? this.text(line) : JSON.stringify(this.json(value));
      })
      .join('\n');
  }

  #take(): string {
    this.#removed++;
    return '(not shown)';
  }
}

/** As it stands, and as JSON and URLs write it; of several lines each line. */
function formsOf(secret: string): string[] {
  const lines = secret.split(/\r?\n/u).filter((line) => !/^-----.*-----$/u.test(line));
  const all = [secret, ...lines].map((text) => text.trim());
  return all.flatMap((text) => [
    text,
    JSON.stringify(text).slice(1, -1),
    encodeURIComponent(text),
    Buffer.from(text, 'utf8').toString('base64'),
  ]);
}

const SECRET_NAME =
  /pass(?:word|wd|phrase)|secret|token$|authorization|cookie|api[-_]?key|private[-_]?key|jaas/iu;

/** `keep`: what stands before it stays. */
const PATTERNS: readonly { readonly pattern: RegExp; readonly keep: boolean }[] = [
  {
    pattern: /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/gu,
    keep: false,
  },
  // User and password of a URL.
  { pattern: /(:\/\/)[^/@\s"']+(?=@)/gu, keep: true },
  { pattern: /(\b(?:Bearer|Basic)\s+)[A-Za-z0-9._~+/=-]{4,}/giu, keep: true },
  {
    pattern:
      /(["']?[\w.-]*(?:pass(?:word|wd|phrase)|secret|token|authorization|cookie|api[-_]?key|jaas[.]config)\\*["']?\s*[:=]\s*\\*["']?)(?!\(not shown\)|(?:Bearer|Basic)\s)(?:(?<=")(?:\\.|[^"\\])+|(?<=')[^']+|(?<!["'])[^\s"']+)/giu,
    keep: true,
  },
  // Tokens, and hashes of passwords.
  { pattern: /\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*/gu, keep: false },
  { pattern: /\$(?:scrypt|argon2\w*|2[aby]|5|6|7)\$[^\s"',]+/gu, keep: false },
];

function parsed(line: string): object | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
