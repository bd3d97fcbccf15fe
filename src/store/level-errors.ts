import { GatelogError, messageOf, systemCodeOf, type ErrorCode } from '../errors.ts';
import { troubleOf, type Trouble } from './damage.ts';

interface Words {
  readonly code: ErrorCode;
  readonly advice: string;
}

const WORDS: Readonly<Record<Trouble, Words>> = {
  full: {
    code: 'STORE_FULL',
    advice: 'the disk is full; free space on it, or lower the topics’ retention',
  },
  'read-only': {
    code: 'STORE_READ_ONLY',
    advice: 'its file system is mounted read-only; remount it, or choose another folder',
  },
  forbidden: {
    code: 'STORE_FORBIDDEN',
    advice: 'let the user that runs gatelog read and write it',
  },
  exhausted: {
    code: 'STORE_UNAVAILABLE',
    advice: 'the process may open no more files or has no more memory; raise its limits',
  },
  io: {
    code: 'STORE_FAILING',
    advice: 'the disk does not read or write; check its cable and health',
  },
};

/** The engine's reasons, turned into what a person can act on. Ours are passed on. */
export function openError(folder: string, error: unknown): GatelogError {
  if (error instanceof GatelogError) return error;
  const inner = error instanceof Error && error.cause !== undefined ? error.cause : error;
  const code = systemCodeOf(inner);
  const text = messageOf(inner);
  if (code === 'LEVEL_LOCKED') {
    return lockedError(folder, error);
  }
  const trouble = troubleOf(inner);
  const isLevels = code?.startsWith('LEVEL_') === true || text.startsWith('Invalid argument');
  if (trouble === undefined && isLevels) {
    return new GatelogError('STORE_CORRUPT', `the database in ${folder} is damaged (${text})`, {
      cause: inner,
    });
  }
  const { code: ours, advice } = trouble === undefined ? unknown(code) : WORDS[trouble];
  return new GatelogError(ours, `the data folder ${folder} can't be opened (${text}): ${advice}`, {
    cause: inner,
  });
}

export function lockedError(folder: string, cause?: unknown): GatelogError {
  return new GatelogError(
    'STORE_LOCKED',
    `the data folder ${folder} is in use by another process: stop the gatelog that runs on it, or ` +
      `give this one a folder of its own with --data`,
    { cause },
  );
}

/** `deaths`: processes in a row that ended while the database was open. */
export function suspectError(path: string, deaths: number): GatelogError {
  return new GatelogError(
    'STORE_SUSPECT',
    `${deaths} processes in a row ended while ${path} was open: a process of its own looks into it ` +
      `first, which may take half a minute`,
  );
}

function unknown(code: string | undefined): Words {
  return { code: 'STORE_UNAVAILABLE', advice: adviceFor(code) };
}

function adviceFor(code: string | undefined): string {
  if (code === 'ENOENT') {
    return 'there is no gatelog data there; check the path, or start gatelog once to make it';
  }
  if (code === 'ENOTDIR' || code === 'EEXIST') {
    return 'a file stands in the way; choose another folder';
  }
  return 'check that the disk is there and that the folder can be read and written';
}
