import { isServiceConfig, SERVICE_PLACE } from '../../service-place.ts';
import type { InitAccount, InitAnswers, InitKafka, InitMqtt } from './answers.ts';

/** Where the parts lie that the configuration only names; paths are relative to it. */
export const USERS_FILE = 'users';

/** Who the gateway is at its far side, and where its password lies. */
export function accountOf({
  kafka,
  mqtt,
}: InitAnswers):
  | { readonly account: InitAccount; readonly secret: string; readonly at: string }
  | undefined {
  const account = kafka?.login ?? mqtt?.login;
  if (account === undefined) return undefined;
  return kafka === undefined
    ? { account, secret: 'secrets/mqtt', at: mqtt?.url ?? '' }
    : { account, secret: 'secrets/kafka', at: 'Kafka' };
}

/**
 * The configuration that `gatelog init` writes: what was answered, each with its meaning, and what people
 * ask for next. `secret` names where the password at the far side is had from, `file` where the text will stand.
 */
export function configText(answers: InitAnswers, secret: string, file: string): string {
  const text = textOf(answers, secret);
  return isServiceConfig(file)
    ? text.replaceAll(/\bdocs\/(?=\w+\.md)/gu, `${SERVICE_PLACE.docs}/`)
    : text;
}

function textOf(answers: InitAnswers, secret: string): string {
  return [
    '# gatelog: made by `gatelog init`. All options with their meanings and defaults: docs/reference.md.',
    '# After a change: `gatelog reload --config FILE`, which says what is wrong and what wants a restart.',
    '',
    ...gatewayLines(answers),
    '',
    ...mqttLines(answers),
    '',
    ...logLines(),
    '',
    ...(answers.mqtt === undefined
      ? kafkaLines(answers.kafka, secret)
      : mqttMirrorLines(answers.mqtt, secret)),
    '',
  ].join('\n');
}

function gatewayLines({ gateway, data }: InitAnswers): string[] {
  return [
    "# Part of every record's identity, and of the names that Kafka knows this gateway by: no two",
    '# gateways may have the same.',
    `gateway: ${quoted(gateway)}`,
    '',
    '# The log. Put it on the best medium that there is.',
    ...(data === undefined ? ['#data: /var/lib/gatelog'] : [`data: ${quoted(data)}`]),
  ];
}

function mqttLines(answers: InitAnswers): string[] {
  const { listen, serverTls, users, allowAnonymous, acl } = answers;
  const lines = [
    'mqtt:',
    '  # Where devices connect: mqtt, mqtts (TLS), ws, wss or unix:///PATH.',
    '  listen:',
    ...listen.map((url) => `    - ${quoted(url)}`),
  ];
  if (serverTls !== undefined) {
    const { cert, key } = serverTls;
    lines.push('  tls:', `    cert: ${quoted(cert)}`, `    key: ${quoted(key)}`);
  }
  if (allowAnonymous) {
    lines.push(
      '  # Whoever reaches these addresses may publish and read.',
      '  allowAnonymous: true',
    );
  }
  if (users.length === 0) return lines;
  lines.push(
    '  # Who may connect: `gatelog user add NAME --config FILE` adds more, without a restart.',
    `  usersFile: ${USERS_FILE}`,
    '  # own: each user has the topics that begin with its name (NAME/…), and no others; open: all may all.',
    '  # Rules: docs/access.md.',
    `  acl: ${acl}`,
  );
  return lines;
}

function logLines(): string[] {
  return [
    '# A topic of the log, and what goes there. Older than `time` and had by every mirror, or beyond `bytes`:',
    '# removed.',
    'topics:',
    '  telemetry:',
    '    retention:',
    '      time: 7d',
    '      bytes: 1GiB',
    'routes:',
    '  - match: "#"',
    '    topic: telemetry',
    '',
    '# On an SD card: how much may be written a day. Devices then wait longer for their acknowledgements.',
    '# docs/flash.md has the figures.',
    '#store:',
    '#  wear:',
    '#    budget: 5GB',
  ];
}

function kafkaLines(kafka: InitKafka | undefined, secret: string): string[] {
  if (kafka === undefined) {
    return [
      '# Where the log is sent to. Without a mirror it stays here.',
      '#mirrors:',
      '#  central:',
      '#    kafka:',
      '#      brokers: ["kafka-1.example.com:9092"]',
    ];
  }
  const { brokers, tls, login } = kafka;
  const lines = [
    '# Where the log is sent to, exactly once. What the cluster must allow: docs/kafka.md.',
    'mirrors:',
    '  central:',
    '    kafka:',
    `      brokers: [${brokers.map(quoted).join(', ')}]`,
  ];
  if (tls !== undefined) {
    const { ca } = tls;
    if (ca === undefined) lines.push("      # With the system's authorities.", '      tls: true');
    else lines.push('      tls:', `        ca: "\${file:${inQuotes(ca)}}"`);
  }
  if (login !== undefined) {
    const { mechanism } = login;
    const who = accountLines(login, secret).map((line) => `        ${line}`);
    lines.push('      sasl:', `        mechanism: ${mechanism}`, ...who);
  }
  return lines;
}

function mqttMirrorLines({ url, ca, login }: InitMqtt, secret: string): string[] {
  const lines = [
    '# Where the log is sent to: exactly once if that is a gatelog with `mqtt.central: true`, into other MQTT brokers',
    '# at least once.',
    'mirrors:',
    '  central:',
    '    mqtt:',
    `      url: ${quoted(url)}`,
  ];
  if (ca !== undefined) lines.push('      tls:', `        ca: "\${file:${inQuotes(ca)}}"`);
  if (login !== undefined) {
    lines.push(...accountLines(login, secret).map((line) => `      ${line}`));
  }
  return lines;
}

function accountLines({ username, password }: InitAccount, secret: string): string[] {
  const reference = 'file' in password ? `file:${inQuotes(password.file)}` : secret;
  return [`username: ${quoted(username)}`, `password: "\${${reference}}"`];
}

/** A YAML text that means exactly this: `${` is the beginning of a reference there. */
function quoted(text: string): string {
  return JSON.stringify(text.replaceAll('${', () => '$${'));
}

function inQuotes(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}
