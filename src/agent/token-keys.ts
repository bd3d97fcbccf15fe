import { createPublicKey } from 'node:crypto';
import { createLocalJWKSet } from 'jose/jwks/local';
import type { JSONWebKeySet, JWTVerifyGetKey } from 'jose';
import type { AccessFileStatus } from '../admin/access-file-status.ts';
import { GatelogError, messageOf } from '../errors.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import type { JwtConfig } from './config-types.ts';
import type { TokenKeys } from './token-key.ts';
import { type TokenKeysSurroundings, TokenKeysUrl } from './token-keys-url.ts';
import { readSmallFile, WatchedFile } from './watched-file.ts';

/** Throws CONFIG_INVALID where a file can't be used; a URL that does not answer is no reason not to start. */
export async function openTokenKeys(
  keys: NonNullable<JwtConfig['keys']>,
  surroundings: TokenKeysSurroundings,
): Promise<TokenKeys> {
  const { clock, logger } = surroundings;
  if (keys.kind === 'url') return TokenKeysUrl.open(keys, keyOf, surroundings);
  return FileKeys.open(keys.file, clock, logger);
}

class FileKeys implements TokenKeys {
  readonly #file: WatchedFile;
  key: JWTVerifyGetKey | undefined;

  private constructor(file: string, clock: Clock, logger: Logger) {
    this.#file = new WatchedFile({
      file,
      what: 'keys',
      read: () => readSmallFile(file, 'a file of keys'),
      take: (text) => {
        this.key = keyOf(text, file);
      },
      clock,
      logger,
    });
    this.#file.onChange = () => logger.info({ event: 'keys.new', file }, `new keys in ${file}`);
  }

  static async open(file: string, clock: Clock, logger: Logger): Promise<FileKeys> {
    const keys = new FileKeys(file, clock, logger);
    await keys.#file.open();
    return keys;
  }

  async missing(): Promise<void> {}

  look(): Promise<void> {
    return this.#file.look();
  }

  status(): AccessFileStatus {
    return this.#file.status();
  }

  stop(): void {
    this.#file.stop();
  }
}

const PRIVATE = 'holds a private key; whoever checks tokens needs the public one only';

/** A public key in PEM form, or a JWKS in JSON. Throws CONFIG_INVALID, and never shows what stands there. */
export function keyOf(text: string, source: string): JWTVerifyGetKey {
  const refuse = (why: string): never => {
    throw new GatelogError('CONFIG_INVALID', `${source} ${why}`, { place: { file: source } });
  };
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/u.test(text)) {
    refuse(PRIVATE);
  }
  if (text.includes('-----BEGIN ')) {
    try {
      const key = createPublicKey(text);
      return () => Promise.resolve(key);
    } catch (error) {
      refuse(`holds no public key that can be used: ${messageOf(error)}`);
    }
  }
  let set: JSONWebKeySet;
  let key: JWTVerifyGetKey;
  try {
    set = JSON.parse(text) as JSONWebKeySet;
    key = createLocalJWKSet(set);
  } catch {
    return refuse('holds neither a public key in PEM form nor a JWKS, as in {"keys": […]}');
  }
  if (set.keys.some(({ kty, d }) => kty !== 'oct' && d !== undefined)) refuse(PRIVATE);
  return key;
}
