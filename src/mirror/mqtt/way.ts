import type { IConnackPacket } from 'mqtt';
import { messageOf } from '../../errors.ts';
import { LIMITS } from '../../limits.ts';
import { ConnectAttempts } from '../connect-attempts.ts';
import { hasFailed, reach, type WayStep } from '../way.ts';
import { clientIdOf } from './client-id.ts';
import { dial, type MqttConnection, placeOf, tlsOptions } from './dial.ts';

/** A mirror's way to its MQTT broker. Nothing is published, and the mirror's own session is left alone. */
export async function* mqttWay(options: MqttConnection): AsyncGenerator<WayStep, void, void> {
  const { clock, url, connectTimeoutMs: timeoutMs = LIMITS.mqttConnectMs } = options;
  const { host, port, isSecure } = placeOf(url);
  const tls = isSecure ? tlsOptions(options.tls) : undefined;
  const steps = await reach({ host, port, where: url, protocol: 'MQTT', tls, timeoutMs, clock });
  yield* steps;
  if (hasFailed(steps)) return;
  // Its own client id would take the mirror's session over.
  const clientId = `${clientIdOf(options)}-check`;
  try {
    const { signal } = new AbortController();
    const dialled = await dial({ ...options, clientId }, new ConnectAttempts(clock), signal);
    yield answerStep(options, dialled.connack);
    await dialled.client.endAsync();
  } catch (error) {
    yield { name: 'MQTT', state: 'failed', text: messageOf(error) };
  }
}

function answerStep(
  { username, protocol = '5' }: MqttConnection,
  { properties }: IConnackPacket,
): WayStep {
  const name = 'MQTT';
  if (properties?.maximumQoS === 0) {
    const text = 'the far side takes QoS 0 only, which acknowledges nothing: choose another broker';
    return { name, state: 'failed', text };
  }
  const who = username === undefined ? '' : `, as user '${username}'`;
  const text = `MQTT ${protocol} is spoken, and the connection taken${who}`;
  if (properties?.retainAvailable !== false) return { name, state: 'good', text };
  const advice = `${text}; it retains nothing: set the mirror's retain to never`;
  return { name, state: 'doubtful', text: advice };
}
