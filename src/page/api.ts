/** What the page asks of its agent. The token stays in this tab, and goes with it. */

const KEPT = 'gatelog-token';

/** Why the agent refused; `status` 401 and 403: a token is wanted. */
export class Refusal extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export function token(): string {
  return sessionStorage.getItem(KEPT) ?? '';
}

export function keepToken(value: string): void {
  if (value === '') sessionStorage.removeItem(KEPT);
  else sessionStorage.setItem(KEPT, value);
}

/** Throws Refusal, or TypeError where the agent can't be reached. */
export async function ask(
  path: string,
  init: RequestInit = {},
  key: string = token(),
): Promise<Response> {
  const headers = new Headers(init.headers);
  if (key !== '') headers.set('authorization', `Bearer ${key}`);
  const response = await fetch(path, { ...init, headers, cache: 'no-store' });
  if (!response.ok) throw new Refusal(response.status, await detailOf(response));
  return response;
}

export async function askJson<T>(path: string): Promise<T> {
  return (await (await ask(path)).json()) as T;
}

/** `key`: its token, which is kept when it was the right one. */
export async function command(path: string, body: unknown, key: string): Promise<void> {
  const headers = { 'content-type': 'application/json' };
  await ask(path, { method: 'POST', headers, body: JSON.stringify(body) }, key);
  keepToken(key);
}

async function detailOf(response: Response): Promise<string> {
  const problem: unknown = await response.json().catch(() => undefined);
  if (typeof problem === 'object' && problem !== null && 'detail' in problem) {
    return String(problem.detail);
  }
  return `the agent answered ${response.status}`;
}
