import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { HttpRig } from '../support/http-rig.ts';

/** The description that is served: whole, without names that lead nowhere, and true of what is checked. */
interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly required?: boolean;
  readonly schema: unknown;
}
interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly tags: readonly string[];
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: {
    readonly content: Readonly<Record<string, { readonly schema: unknown }>>;
  };
  readonly responses: Readonly<
    Record<string, { readonly description?: string; readonly content?: object }>
  >;
  readonly security?: readonly Readonly<Record<string, unknown>>[];
}
interface Description {
  readonly openapi: string;
  readonly info: { readonly title: string; readonly version: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly security: readonly object[];
  readonly components: { readonly securitySchemes: Readonly<Record<string, object>> };
}

let rig: HttpRig;
let described: Description;
beforeAll(async () => {
  rig = await HttpRig.open();
  described = (await (await rig.get('/api/v1/openapi.json')).json()) as Description;
});
afterAll(() => rig.close());

function operations(): [path: string, method: string, operation: Operation][] {
  return Object.entries(described.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, each]): [string, string, Operation] => [path, method, each]),
  );
}

/** What a reader of the description would miss. */
function lacks(path: string, method: string, operation: Operation): string[] {
  const { summary, tags, parameters = [], requestBody, responses } = operation;
  const inPath = [...path.matchAll(/\{(\w+)\}/gu)].map(([, name]) => name);
  const declared = parameters.filter((each) => each.in === 'path' && each.required === true);
  const answers = Object.entries(responses);
  const checks: Record<string, boolean> = {
    'a sentence': summary.endsWith('.'),
    'one tag': tags.length === 1,
    'what stands in its path': declared.map(({ name }) => name).join() === inPath.join(),
    'a body where it is a command': (requestBody !== undefined) === (method === 'post'),
    'what a success is': responses['200'] !== undefined,
    'known statuses': answers.every(([status]) => /^(?:\d{3}|[45]XX)$/u.test(status)),
    'words for each answer': answers.every(([, { description }]) => description?.endsWith('.')),
    'forms of answers': answers.every(([, { content }]) => content !== undefined),
  };
  return Object.keys(checks).filter((name) => checks[name] !== true);
}

describe('the OpenAPI description', () => {
  test('is of 3.1, of this version, and knows every route', () => {
    expect(described.openapi).toMatch(/^3\.1\./u);
    expect(described.info).toMatchObject({ title: 'gatelog agent', version: 'test' });
    expect(Object.keys(described.paths).toSorted()).toEqual([
      '/api/v1/clients',
      '/api/v1/events',
      '/api/v1/gaps',
      '/api/v1/history',
      '/api/v1/mirrors',
      '/api/v1/mirrors/{mirror}',
      '/api/v1/mirrors/{mirror}/forget',
      '/api/v1/mirrors/{mirror}/pause',
      '/api/v1/mirrors/{mirror}/resume',
      '/api/v1/mirrors/{mirror}/seek',
      '/api/v1/mirrors/{mirror}/skip',
      '/api/v1/status',
      '/api/v1/topics',
      '/api/v1/topics/{topic}',
      '/api/v1/topics/{topic}/records',
      '/healthz',
      '/metrics',
      '/readyz',
    ]);
  });

  test('says of each what it is, what it takes, and what it answers', () => {
    const ids = operations().map(([, , { operationId }]) => operationId);
    expect(new Set(ids).size).toBe(ids.length);
    const lacking = operations().flatMap(([path, method, operation]) =>
      lacks(path, method, operation).map((what) => `${method} ${path}: ${what}`),
    );
    expect(lacking).toEqual([]);
  });

  test('names only what is there', () => {
    const schemes = Object.keys(described.components.securitySchemes);
    const wanted = operations().flatMap(([, , { security = [] }]) => security);
    for (const each of [...described.security, ...wanted]) {
      for (const name of Object.keys(each)) expect(schemes).toContain(name);
    }
    const text = JSON.stringify(described);
    for (const [, reference] of text.matchAll(/"\$ref":"#\/([^"]+)"/gu)) {
      const found = (reference ?? '')
        .split('/')
        .reduce<unknown>((at, part) => (at as Record<string, unknown>)[part], described);
      expect(found).toBeDefined();
    }
    expect(text).not.toContain('"$id"');
  });

  test('commands want the token for them, and what is open says so', () => {
    const secured = operations()
      .filter(([, , { security }]) => security !== undefined)
      .map(([path, , { security }]) => `${path} ${JSON.stringify(security)}`);
    const commands = ['forget', 'pause', 'resume', 'seek', 'skip'].map(
      (action) => `/api/v1/mirrors/{mirror}/${action} [{"adminToken":[]}]`,
    );
    expect(secured.toSorted()).toEqual([...commands, '/healthz []', '/readyz []']);
  });
});
