import type { RouteOptions } from 'fastify';

/** Which methods each path of the HTTP side has, so that a wrong method is told from a wrong path. */
export class HttpPaths {
  readonly #methods = new Map<string, Set<string>>();

  add({ url, method }: Pick<RouteOptions, 'url' | 'method'>): void {
    const methods = this.#methods.get(url) ?? new Set();
    for (const one of [method].flat()) methods.add(one);
    this.#methods.set(url, methods);
  }

  /** As `Allow` has them (RFC 9110, 10.2.1); empty when there is no such path. */
  methodsOf(path: string): readonly string[] {
    const found = [...this.#methods].filter(([pattern]) => isOf(pattern, path));
    return [...new Set(found.flatMap(([, methods]) => [...methods]))].toSorted();
  }
}

/** `:name` in a pattern stands for one part. */
function isOf(pattern: string, path: string): boolean {
  const expected = pattern.split('/');
  const parts = path.split('/');
  return (
    expected.length === parts.length &&
    expected.every((part, at) => part === parts[at] || (part.startsWith(':') && parts[at] !== ''))
  );
}
