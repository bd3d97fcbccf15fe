import { ACCESS_LIMITS } from '../access-limits.ts';
import { GatelogError } from '../errors.ts';
import type { CliContext } from './context.ts';

const KEY = {
  enter: new Set(['\r', '\n', '\u0004']),
  back: new Set(['\b', '\u007F']),
  stop: '\u0003',
};

/** What a password is asked from: the process's own stdin. */
export interface PasswordSource extends AsyncIterable<Buffer | string> {
  readonly isTTY?: boolean;
  setRawMode?(raw: boolean): unknown;
  setEncoding(encoding: 'utf8'): unknown;
}

/** Asks a person twice without an echo, or takes the first line of stdin. Throws USAGE. */
export async function askPassword(
  context: CliContext,
  fromStdin: boolean,
  source: PasswordSource = process.stdin,
): Promise<Buffer> {
  source.setEncoding('utf8');
  if (fromStdin) return checked(await firstLine(source));
  if (source.isTTY !== true || source.setRawMode === undefined) {
    const message =
      'a password is asked for on a terminal only; give it on stdin with --password-stdin';
    throw new GatelogError('USAGE', message);
  }
  source.setRawMode(true);
  const keys = keysOf(source);
  try {
    const password = await typed(context, 'Password: ', keys);
    const again = await typed(context, 'Once more: ', keys);
    if (password !== again) throw new GatelogError('USAGE', 'the two passwords are not the same');
    return checked(password);
  } finally {
    // Whoever still listens to stdin does not end.
    await keys.return(undefined);
    source.setRawMode(false);
  }
}

async function typed(
  context: CliContext,
  prompt: string,
  keys: AsyncGenerator<string>,
): Promise<string> {
  context.stderr.write(prompt);
  const characters: string[] = [];
  try {
    for (;;) {
      const { value: key, done } = await keys.next();
      if (done === true || KEY.enter.has(key)) return characters.join('');
      if (key === KEY.stop) throw new GatelogError('USAGE', 'nothing was changed');
      if (KEY.back.has(key)) characters.pop();
      else characters.push(key);
    }
  } finally {
    context.stderr.write('\n');
  }
}

async function* keysOf(source: PasswordSource): AsyncGenerator<string> {
  for await (const chunk of source) yield* String(chunk);
}

async function firstLine(source: PasswordSource): Promise<string> {
  let text = '';
  for await (const chunk of source) {
    text += String(chunk);
    if (text.includes('\n') || text.length > ACCESS_LIMITS.passwordBytes) break;
  }
  return text.replace(/\r?\n[\s\S]*$/u, '');
}

function checked(password: string): Buffer {
  const bytes = Buffer.from(password, 'utf8');
  if (bytes.length === 0) throw new GatelogError('USAGE', 'the password is empty');
  if (bytes.length > ACCESS_LIMITS.passwordBytes) {
    const message = `the password has more than ${ACCESS_LIMITS.passwordBytes} bytes`;
    throw new GatelogError('USAGE', message);
  }
  return bytes;
}
