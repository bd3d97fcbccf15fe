import type { AccessFileStatus } from '../admin/access-file-status.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import { counted } from '../words.ts';
import { type AclFileContent, parseAclFile } from './config-acl-file.ts';
import { readSmallFile, WatchedFile } from './watched-file.ts';

/** Throws CONFIG_INVALID, naming the file. */
export function readAclFile(file: string): Promise<string> {
  return readSmallFile(file, 'a file of rules');
}

/** The rules of a file that is read again when it changes. */
export class AclFile {
  readonly #file: WatchedFile;
  content: AclFileContent = { acl: [], roles: new Map() };
  /** Called after every change. */
  onChange: () => void = () => {};

  private constructor(file: string, anyRole: boolean, clock: Clock, logger: Logger) {
    this.#file = new WatchedFile({
      file,
      what: 'rules',
      read: () => readAclFile(file),
      take: (text) => {
        this.content = parseAclFile(text, file, anyRole).content;
      },
      clock,
      logger,
    });
    this.#file.onChange = () => {
      const rules = counted(this.content.acl.length, 'rule');
      logger.info({ event: 'rules.new', file }, `the file of rules has changed: ${rules}`);
      this.onChange();
    };
  }

  /** Throws CONFIG_INVALID, naming file and line. `anyRole`: see parseAclFile. */
  static async open(
    file: string,
    anyRole: boolean,
    clock: Clock,
    logger: Logger,
  ): Promise<AclFile> {
    const acl = new AclFile(file, anyRole, clock, logger);
    await acl.#file.open();
    return acl;
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
