import { createHmac } from 'node:crypto';
import { ACCESS_LIMITS } from '../access-limits.ts';
import type { AccessFileStatus } from '../admin/access-file-status.ts';
import { systemRandom } from '../random.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import { counted } from '../words.ts';
import { type FileUser, parseUsers } from './users-file.ts';
import { readSmallFile, WatchedFile } from './watched-file.ts';

/** Throws CONFIG_INVALID, naming the file. */
export function readUsersFile(file: string): Promise<string> {
  const hint = '; gatelog user add NAME makes one, which the agent must be able to read';
  return readSmallFile(file, 'a file of users', hint);
}

const CHANGES = {
  'user.added': 'a user was added',
  'user.removed': 'a user was removed',
  'user.changed': 'a user has another password',
} as const;

interface UserChange {
  readonly event: keyof typeof CHANGES;
  readonly user: string;
}

function changesOf(
  before: ReadonlyMap<string, FileUser>,
  after: ReadonlyMap<string, FileUser>,
): UserChange[] {
  const removed = [...before.keys()].filter((user) => !after.has(user));
  return [
    ...removed.map((user) => ({ event: 'user.removed', user }) as const),
    ...[...after].flatMap(([user, { text }]): UserChange[] => {
      const old = before.get(user);
      if (old?.text === text) return [];
      return [{ event: old === undefined ? 'user.added' : 'user.changed', user }];
    }),
  ];
}

/** The users of a file that is read again when it changes. */
export class UsersFile {
  readonly #file: WatchedFile;
  #users: ReadonlyMap<string, FileUser> = new Map();
  #list: readonly FileUser[] = [];
  readonly #key: Buffer = Buffer.from(systemRandom.hex(32), 'hex');
  /** What the last one was. */
  #changes: readonly UserChange[] = [];
  /** Called after every change. */
  onChange: () => void = () => {};

  private constructor(file: string, clock: Clock, logger: Logger) {
    this.#file = new WatchedFile({
      file,
      what: 'users',
      read: () => readUsersFile(file),
      take: (text) => {
        const before = this.#users;
        this.#users = parseUsers(text, file);
        this.#list = [...this.#users.values()];
        this.#changes = changesOf(before, this.#users);
      },
      clock,
      logger,
    });
    this.#file.onChange = () => {
      const users = counted(this.#users.size, 'user');
      logger.info({ event: 'users.new', file }, `the file of users has changed: ${users}`);
      for (const { event, user } of this.#changes.slice(0, ACCESS_LIMITS.auditUsers)) {
        logger.info({ event, user, file }, CHANGES[event]);
      }
      this.onChange();
    };
  }

  /** Throws CONFIG_INVALID, naming file and line. */
  static async open(file: string, clock: Clock, logger: Logger): Promise<UsersFile> {
    const users = new UsersFile(file, clock, logger);
    await users.#file.open();
    return users;
  }

  find(name: string): FileUser | undefined {
    return this.#users.get(name);
  }

  /** One of them, always the same for a name: their hashes do not all take as long. */
  like(name: string): FileUser | undefined {
    const digest = createHmac('sha256', this.#key).update(name).digest();
    return this.#list[digest.readUInt32BE() % Math.max(this.#list.length, 1)];
  }

  /** Looks now. Never rejects. */
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
