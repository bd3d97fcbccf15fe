import type { JWTVerifyGetKey } from 'jose';
import type { AccessFileStatus } from '../admin/access-file-status.ts';

/** Where the keys of a URL are kept over a restart. */
export interface KeptKeysPlace {
  readonly file: string;
  /** The folder can't be written, or is not the one that it should be. */
  readonly isReadOnly: boolean;
}

/** Where the keys of tokens come from. */
export interface TokenKeys {
  /** Gives the key of one token. undefined: nobody has said yet which they are, or not for too long. */
  readonly key: JWTVerifyGetKey | undefined;
  /** A token names a key that is not there: there may be newer ones. */
  missing(): Promise<void>;
  look(): Promise<void>;
  status(): AccessFileStatus;
  stop(): void;
}
