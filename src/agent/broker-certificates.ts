import { isDeepStrictEqual } from 'node:util';
import type { SecureContextOptions } from 'node:tls';
import type { CertificateStatus } from '../admin/certificate-status.ts';
import { messageOf } from '../errors.ts';
import { LISTEN_LIMITS } from '../listen-limits.ts';
import type { Logger } from '../telemetry.ts';
import { type Clock, isoTime, type Timer } from '../time.ts';
import { formatDuration } from '../units.ts';
import type { ServerTls } from './config-types.ts';
import {
  type PemTexts,
  readPems,
  type ServerCertificate,
  serverCertificate,
} from './server-certificate.ts';

/** Who shows a certificate; the change holds for connections from then on. */
export type UseCertificate = (options: SecureContextOptions) => void;

interface Entry {
  readonly tls: ServerTls;
  readonly users: { readonly listener: string; readonly use: UseCertificate }[];
  pems: PemTexts;
  certificate: ServerCertificate;
  /** Why its files as they are can't be used. */
  trouble: string | undefined;
  troubleSinceMs: number;
}

/**
 * The certificates of a broker's listeners. Their files are looked at from time to time and on
 * request; new ones are taken without touching a connection. Where they can't be used those before
 * stay, which is said once.
 */
export class Certificates {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #entries: Entry[] = [];
  /** By file: when its end was warned of. Several listeners may share a file. */
  readonly #warnedMs = new Map<string, number>();
  #timer: Timer | undefined;
  #looking: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock;
    this.#logger = logger;
  }

  /** Throws LISTEN_FAILED, naming the file and what is wrong with it. */
  async load(tls: ServerTls): Promise<SecureContextOptions> {
    const known = this.#entryOf(tls);
    if (known !== undefined) return known.certificate.options;
    const pems = await readPems(tls);
    const certificate = serverCertificate(tls, pems);
    const entry = { tls, users: [], pems, certificate, trouble: undefined, troubleSinceMs: 0 };
    this.#entries.push(entry);
    this.#warn(entry);
    return certificate.options;
  }

  /** From now on `use` hears of every change. */
  watch(tls: ServerTls, listener: string, use: UseCertificate): void {
    this.#entryOf(tls)?.users.push({ listener, use });
    if (this.#timer === undefined) this.#later();
  }

  /** Looks now. Never rejects. */
  look(): Promise<void> {
    this.#looking = this.#looking.then(() => this.#lookAll());
    return this.#looking;
  }

  status(): CertificateStatus[] {
    const byFile = Map.groupBy(this.#entries, ({ tls }) => tls.cert);
    return [...byFile].map(([file, entries]) => {
      const troubled = entries.find(({ trouble }) => trouble !== undefined);
      const expiresMs = Math.min(...entries.map(({ certificate }) => certificate.expiresMs));
      return {
        file,
        listeners: entries.flatMap(({ users }) => users.map(({ listener }) => listener)),
        expiresAt: isoTime(expiresMs),
        expiresInMs: Math.round(expiresMs - this.#clock.nowMs()),
        state: this.#stateOf(expiresMs),
        trouble: troubled?.trouble ?? null,
        troubleSince: troubled === undefined ? null : isoTime(troubled.troubleSinceMs),
      };
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #entryOf(tls: ServerTls): Entry | undefined {
    return this.#entries.find((entry) => isDeepStrictEqual(entry.tls, tls));
  }

  #later(): void {
    if (this.#stopped) return;
    this.#timer = this.#clock.after(LISTEN_LIMITS.certificateLookMs, () => {
      void this.look().finally(() => this.#later());
    });
  }

  async #lookAll(): Promise<void> {
    const before = new Set(this.#entries.map(({ trouble }) => trouble));
    const news = new Set<string>();
    for (const entry of this.#entries) await this.#lookAt(entry, before, news);
    // Now: a new file is warned of once, however many listeners show it.
    for (const entry of this.#entries) this.#warn(entry);
  }

  /** `said`: troubles that are known; `news`: files of which it was said that they are new. */
  async #lookAt(entry: Entry, said: Set<string | undefined>, news: Set<string>): Promise<void> {
    const { tls } = entry;
    try {
      const pems = await readPems(tls);
      if (!isDeepStrictEqual(pems, entry.pems)) {
        const certificate = serverCertificate(tls, pems);
        for (const { use } of entry.users) use(certificate.options);
        Object.assign(entry, { pems, certificate });
        this.#warnedMs.delete(tls.cert);
        if (!news.has(tls.cert)) this.#sayNew(entry);
        news.add(tls.cert);
      }
      entry.trouble = undefined;
    } catch (error) {
      const trouble = messageOf(error);
      if (entry.trouble === undefined) entry.troubleSinceMs = this.#clock.nowMs();
      entry.trouble = trouble;
      if (said.has(trouble)) return;
      said.add(trouble);
      this.#logger.error(
        { event: 'certificate.unusable', file: tls.cert },
        `${trouble}; the certificate from before stays in use`,
      );
    }
  }

  #sayNew({ tls, certificate }: Entry): void {
    this.#logger.info(
      { event: 'certificate.new', file: tls.cert, expiresAt: isoTime(certificate.expiresMs) },
      `a new certificate is in use: ${tls.cert}`,
    );
  }

  #warn({ certificate, tls }: Entry): void {
    const state = this.#stateOf(certificate.expiresMs);
    const warnedMs = this.#warnedMs.get(tls.cert);
    const nowMs = this.#clock.monotonicMs();
    if (state === 'good') return;
    if (warnedMs !== undefined && nowMs - warnedMs < LISTEN_LIMITS.certificateSayMs) return;
    this.#warnedMs.set(tls.cert, nowMs);
    const leftMs = certificate.expiresMs - this.#clock.nowMs();
    const when =
      state === 'expired'
        ? 'has expired: devices do not connect'
        : `expires in ${formatDuration(leftMs)}: devices will not connect then`;
    const expiresAt = isoTime(certificate.expiresMs);
    this.#logger.warn(
      { event: `certificate.${state}`, file: tls.cert, expiresAt },
      `${tls.cert} ${when} (${expiresAt})`,
    );
  }

  #stateOf(expiresMs: number): CertificateStatus['state'] {
    const leftMs = expiresMs - this.#clock.nowMs();
    if (leftMs <= 0) return 'expired';
    return leftMs < LISTEN_LIMITS.certificateWarnMs ? 'expiring' : 'good';
  }
}
