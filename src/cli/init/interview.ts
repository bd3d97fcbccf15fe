import { BROKER_EXPECTED, isHostPort, isName, NAME_EXPECTED } from '../../agent/config-forms.ts';
import { isUserName, USER_NAME_EXPECTED } from '../../agent/users-file.ts';
import { INIT_ACLS, INIT_MECHANISMS } from './answers.ts';
import {
  type InitFlags,
  type InitSecrets,
  isOpenToOthers,
  upstreamTrouble,
  wantsCertificate,
} from './flag-answers.ts';
import type { Questions } from './questions.ts';

/** Asks a person what no flag said; what comes out is flags, so that both ways end alike. */
export async function interview(
  questions: Questions,
  flags: InitFlags,
  usual: { readonly data: string; readonly gateway: string },
): Promise<{ readonly flags: InitFlags; readonly secrets: InitSecrets }> {
  const passwords = new Map<string, string>();
  const gateway =
    flags.gateway ??
    (await questions.text({
      prompt: 'Id of this gateway, which no other one has',
      usual: usual.gateway,
      check: (given) => (isName(given) ? undefined : NAME_EXPECTED),
    }));
  const data =
    flags.data ?? (await questions.text({ prompt: 'Folder for the log', usual: usual.data }));
  const listen = flags.listen ?? (await askListen(questions));
  const certificate = await askCertificate(questions, flags, listen);
  const access = await askAccess(questions, flags, listen, passwords);
  const { password: upstreamPassword, ...upstream } = await askUpstream(questions, flags);
  return {
    flags: { ...flags, gateway, data, listen, ...certificate, ...access, ...upstream },
    secrets: { passwords, upstreamPassword },
  };
}

async function askListen(questions: Questions): Promise<readonly string[]> {
  const prompt = 'Who publishes: devices in the network, or programs on this machine only';
  const whom = await questions.choice(prompt, ['network', 'machine'], 'network');
  return [whom === 'network' ? 'mqtt://0.0.0.0:1883' : 'mqtt://127.0.0.1:1883'];
}

async function askCertificate(
  questions: Questions,
  { cert, key }: InitFlags,
  listen: readonly string[],
): Promise<Pick<InitFlags, 'cert' | 'key'>> {
  if (!listen.some(wantsCertificate)) return { cert, key };
  return {
    cert: cert ?? (await filled(questions, 'Certificate of this gateway (PEM file)')),
    key: key ?? (await filled(questions, 'Its key (PEM file)')),
  };
}

async function askAccess(
  questions: Questions,
  flags: InitFlags,
  listen: readonly string[],
  passwords: Map<string, string>,
): Promise<Pick<InitFlags, 'user' | 'allowAnonymous' | 'acl'>> {
  const { allowAnonymous, acl } = flags;
  if (allowAnonymous === true) return { user: flags.user, allowAnonymous, acl };
  for (;;) {
    const user = await askUsers(questions, flags.user, passwords);
    if (user.length > 0) {
      const prompt = 'May a user have its own topics only (NAME/…), or all of them';
      return {
        user,
        allowAnonymous,
        acl: acl ?? (await questions.choice(prompt, INIT_ACLS, 'own')),
      };
    }
    const open = listen.find(isOpenToOthers);
    if (open === undefined) return { user, allowAnonymous, acl };
    const isMeant = await questions.yes(
      `Then anybody who reaches ${open} may publish and read. Is that meant`,
      false,
    );
    if (isMeant) return { user, allowAnonymous: true, acl };
  }
}

async function askUsers(
  questions: Questions,
  given: readonly string[] | undefined,
  passwords: Map<string, string>,
): Promise<readonly string[]> {
  const askPassword = async (name: string): Promise<void> => {
    const prompt = `Password of ${name} (empty: one is made)`;
    passwords.set(name, await questions.secret(prompt));
  };
  if (given !== undefined) {
    for (const name of given) await askPassword(name);
    return given;
  }
  for (;;) {
    const names = [...passwords.keys()];
    const name = await questions.text({
      prompt:
        names.length === 0
          ? 'Name that a device logs in with (empty: none)'
          : 'Another name (empty: no more)',
      check: (answer) => {
        if (answer === '') return undefined;
        if (passwords.has(answer)) return 'a name that was not given yet';
        return isUserName(answer) ? undefined : USER_NAME_EXPECTED;
      },
    });
    if (name === '') return names;
    await askPassword(name);
  }
}

/** Flags, and the password that no flag has. */
type Asked<Names extends keyof InitFlags> = Pick<InitFlags, Names> & {
  readonly password: string | undefined;
};
type KafkaFlags = Asked<'kafka' | 'kafkaTls' | 'kafkaCa' | 'kafkaUser' | 'kafkaMechanism'>;
type MqttFlags = Asked<'upstream' | 'upstreamCa' | 'upstreamUser'>;

/** Where the log is sent to: Kafka, else a central gatelog or another MQTT broker, else nowhere yet. */
async function askUpstream(
  questions: Questions,
  flags: InitFlags,
): Promise<KafkaFlags | MqttFlags> {
  if (flags.upstream !== undefined) return askMqtt(questions, flags, flags.upstream);
  const kafka = flags.kafka ?? (await askBrokers(questions));
  if (kafka !== '') return askKafka(questions, flags, kafka);
  const url = await questions.text({
    prompt: 'Central gatelog or MQTT broker, as mqtts://HOST:PORT (empty: none yet)',
    check: (given) => (given === '' ? undefined : upstreamTrouble(given)),
  });
  return url === '' ? { kafka: undefined, password: undefined } : askMqtt(questions, flags, url);
}

async function askMqtt(
  questions: Questions,
  flags: InitFlags,
  upstream: string,
): Promise<MqttFlags> {
  const isAsked = flags.upstream === undefined;
  const isSecure = /^(?:mqtts|wss):/u.test(upstream);
  const given = flags.upstreamCa ?? (isAsked && isSecure ? await questions.text(CA_QUESTION) : '');
  const upstreamCa = given === '' ? undefined : given;
  const user = flags.upstreamUser ?? (isAsked ? await questions.text(USER_QUESTION) : '');
  if (user === '') return { upstream, upstreamCa, upstreamUser: undefined, password: undefined };
  const hasFile = flags.upstreamPasswordFile !== undefined;
  const password = hasFile ? undefined : await questions.secret(`Password of ${user}`);
  return { upstream, upstreamCa, upstreamUser: user, password };
}

const CA_QUESTION = { prompt: 'PEM file of its CA (empty: those of this system)' };
const USER_QUESTION = { prompt: 'User there (empty: no login)' };

async function askKafka(
  questions: Questions,
  flags: InitFlags,
  kafka: string,
): Promise<KafkaFlags> {
  // Who named the brokers by a flag named the rest of Kafka, too.
  const isAsked = flags.kafka === undefined;
  const kafkaTls =
    flags.kafkaTls ??
    (flags.kafkaCa !== undefined || (isAsked && (await questions.yes('Does it want TLS', false))));
  const kafkaCa = flags.kafkaCa ?? (isAsked && kafkaTls ? await questions.text(CA_QUESTION) : '');
  const kafkaUser = flags.kafkaUser ?? (isAsked ? await questions.text(USER_QUESTION) : '');
  const common = {
    kafka,
    kafkaTls,
    kafkaCa: kafkaCa === '' ? undefined : kafkaCa,
    kafkaUser: kafkaUser === '' ? undefined : kafkaUser,
    kafkaMechanism: flags.kafkaMechanism,
  };
  if (kafkaUser === '') return { ...common, password: undefined };
  const kafkaMechanism =
    flags.kafkaMechanism ??
    (isAsked
      ? await questions.choice('SASL mechanism', INIT_MECHANISMS, 'SCRAM-SHA-512')
      : undefined);
  const hasFile = flags.kafkaPasswordFile !== undefined;
  const password = hasFile ? undefined : await questions.secret(`Password of ${kafkaUser}`);
  return { ...common, kafkaMechanism, password };
}

function askBrokers(questions: Questions): Promise<string> {
  const areBrokers = (given: string): boolean =>
    given.split(',').every((broker) => isHostPort(broker.trim()));
  return questions.text({
    prompt: 'Kafka, as HOST:PORT,HOST:PORT (empty: no Kafka)',
    check: (given) => (given === '' || areBrokers(given) ? undefined : BROKER_EXPECTED),
  });
}

function filled(questions: Questions, prompt: string): Promise<string> {
  return questions.text({
    prompt,
    check: (given) => (given === '' ? 'the path of a file' : undefined),
  });
}
