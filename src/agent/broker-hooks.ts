import type { AedesOptions } from 'aedes';
import { LIMITS } from '../limits.ts';
import type { Logger } from '../telemetry.ts';
import type { AedesClient, WillPacket } from './broker-aedes.ts';
import type { UserTable } from './broker-auth.ts';
import { fromAedesProperties } from './broker-live.ts';
import { checkTopic } from './broker-publish.ts';
import { REASON } from './broker-reasons.ts';
import { grantedQos, Subscriptions } from './broker-subscriptions.ts';
import type { IngestGate } from './ingest.ts';
import type { Qos } from './publication.ts';

export interface HooksOptions {
  readonly gate: IngestGate;
  readonly logger: Logger;
  readonly users: UserTable;
  readonly maxPacketBytes: number;
}

/** What aedes asks us: who may connect, what a will is, what a subscription gets. */
export class Hooks {
  readonly subscriptions: Subscriptions = new Subscriptions();
  readonly #options: HooksOptions;
  refusedLogins = 0;

  constructor(options: HooksOptions) {
    this.#options = options;
  }

  aedesOptions(): AedesOptions {
    return {
      maxTopicLevels: LIMITS.mqttTopicLevels,
      maximumPacketSize: this.#options.maxPacketBytes,
      receiveMaximum: LIMITS.inboundQos2Window,
      topicAliasMaximum: LIMITS.topicAliases,
      pendingSessionsLimit: LIMITS.mqttSessions,
      preConnect: (client, packet, callback) => {
        const trouble = packet.will === undefined ? undefined : willTrouble(packet.will.topic);
        if (trouble !== undefined && packet.protocolVersion === 5) {
          client.conn.write(Buffer.from([0x20, 3, 0, REASON.topicNameInvalid, 0]));
        }
        callback(trouble ?? null, trouble === undefined);
      },
      authenticate: (client, username, password, done) => {
        const verdict = this.#options.users.check(username, password);
        if (verdict === 'accepted') {
          done(null, true);
          return;
        }
        this.refusedLogins++;
        this.#options.logger.warn({ client: client.id, username }, loginTrouble(verdict));
        // Return codes of 3.1.1 (4: bad user name or password, 5: not authorized); aedes makes
        // 0x86 and 0x87 of them for MQTT 5.
        const returnCode: number = verdict === 'anonymous' ? 5 : 4;
        done(Object.assign(new Error(loginTrouble(verdict)), { returnCode }), false);
      },
      authorizeSubscribe: (client, subscription, callback) => {
        const { full } = this.subscriptions;
        if (full) this.#options.logger.warn({ client: client.id }, 'too many subscriptions');
        callback(null, full ? null : subscription);
      },
      authorizeForward: (client, packet) => {
        // aedes lowers a message's QoS to the subscription's only when the filter has no wildcard.
        if (packet.qos === 2) packet.qos = grantedQos(client as AedesClient, packet.topic);
        return packet;
      },
      authorizePublish: (client, packet, callback) => {
        this.#will(client?.id ?? '', packet as unknown as WillPacket, callback);
      },
    };
  }

  /** Wills are the only messages that come this way. */
  #will(client: string, will: WillPacket, callback: (error?: Error | null) => void): void {
    const { gate } = this.#options;
    const properties =
      will.properties === undefined ? undefined : fromAedesProperties(will.properties);
    const qos = (will.qos ?? 0) as Qos;
    const done = (error: Error | null): void => {
      if (qos === 0) gate.settledUnasked(error);
      else if (error !== null) gate.failed(error, client);
      callback(error);
    };
    const entry = gate.entry(will.topic);
    const retain = will.retain === true;
    if (!gate.publish(entry, client, will.payload, qos, retain, properties, done)) callback(null);
  }
}

function willTrouble(topic: string): Error | undefined {
  try {
    checkTopic(topic);
  } catch (error) {
    return error as Error;
  }
  return topic.startsWith('$SYS/') ? new Error('a will may not go to $SYS/') : undefined;
}

function loginTrouble(verdict: 'anonymous' | 'wrong'): string {
  return verdict === 'anonymous'
    ? 'login refused: no user name was given and anonymous clients are not allowed'
    : 'login refused: unknown user name or wrong password';
}
