import type { ClientLimits } from '../client-limits.ts';
import { messageOf } from '../errors.ts';
import type { AccessControl } from './broker-access.ts';
import { Admission } from './broker-admission.ts';
import { ClientIds } from './broker-client-ids.ts';
import { Answering } from './broker-answering.ts';
import { type AedesClient, type AedesHandle, createAedes } from './broker-aedes.ts';
import { Edges } from './broker-edges.ts';
import { type BrokerOptions, limitsOf, numbersOf, storeOptions } from './broker-options.ts';
import { Hooks } from './broker-hooks.ts';
import { SessionPersistence } from './broker-persistence.ts';
import { PublishOrder } from './broker-publish-order.ts';
import { RetainedAnswers } from './broker-retained-answers.ts';
import { SharedSubscriptions } from './broker-shared.ts';
import { SessionStore } from './broker-session-store.ts';
import { Sessions } from './broker-sessions.ts';
import type { DeviceNumbers } from './device-numbers.ts';

/** What a broker is made of, beside its doors. */
export interface BrokerParts {
  readonly numbers: DeviceNumbers | undefined;
  readonly handle: AedesHandle;
  readonly hooks: Hooks;
  readonly admission: Admission;
  readonly sessions: Sessions;
  readonly persistence: SessionPersistence;
  readonly shared: SharedSubscriptions;
  readonly edges: Edges;
  readonly answering: Answering;
  readonly order: PublishOrder;
  readonly retained: RetainedAnswers;
  /** Changed in place when others come to count. */
  readonly limits: ClientLimits;
}

/** Throws GatelogError CONFIG_INVALID. */
export async function brokerParts(options: BrokerOptions): Promise<BrokerParts> {
  const { isClockSound, willGraceMs } = options.keep ?? { isClockSound: () => true };
  // First, as it is what a person may have to mend.
  const admission = await Admission.open({ ...options, isClockSound });
  const persistence = new SessionPersistence(await SessionStore.load(storeOptions(options)));
  const sessions = new Sessions({ ...options, persistence, isClockSound, willGraceMs });
  const { logins, access } = admission;
  const { store } = persistence;
  judgeSessions(store, access);
  persistence.personOf = (client) => logins.whoIs(client);
  const shared = new SharedSubscriptions({
    mayReceive: (client, topic) => access.of(client)?.mayReceive(topic) !== false,
    kept: (topic) =>
      store
        .matchingShared(topic)
        .filter(({ clientId }) => store.session(clientId)?.access?.mayReceive(topic) !== false),
    queued: (clientId) => store.session(clientId)?.queue.bytes ?? 0,
  });
  persistence.share = (packet) => shared.choose(packet);
  const answering = new Answering();
  persistence.answering = answering;
  const edges = new Edges(options, persistence.store, answering);
  const limits = limitsOf(options);
  const clientIds = new ClientIds({
    anyone: options.takeOver === 'anyone',
    isGone: (user) => admission.isGone(user),
    session: (clientId) => persistence.store.session(clientId),
  });
  const order = new PublishOrder();
  const retained = new RetainedAnswers(persistence, order);
  const parts = { sessions, logins, access, clientIds, shared, edges, retained, limits };
  const hooks = new Hooks({ ...options, ...parts });
  const handle = await createAedes(hooks.aedesOptions(), persistence);
  handle.broker.addListener('error', (error: unknown) => {
    options.logger.error({}, `broker: ${messageOf(error)}`);
  });
  handle.broker.on('unsubscribe', (filters, client) => {
    shared.unsubscribed(client as unknown as AedesClient, filters);
  });
  handle.broker.on('clientError', (client, error) => {
    options.logger.debug({ client: client.id }, `connection: ${messageOf(error)}`);
  });
  const numbers = await numbersOf(options);
  const assembled = { numbers, handle, hooks, admission, sessions, persistence };
  return { ...assembled, shared, edges, answering, order, retained, limits };
}

/** By whose they are, as far as is known of who is away. */
export function judgeSessions(store: SessionStore, access: AccessControl): void {
  for (const session of store.sessions()) {
    const { owner: user, roles, clientId } = session;
    session.access = access.ofAbsent({ user, roles }, clientId);
  }
}
