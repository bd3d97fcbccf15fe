import {
  BROKER_EXPECTED,
  gatewayOf,
  isHostPort,
  isName,
  NAME_EXPECTED,
} from '../../agent/config-forms.ts';
import { isUserName, USER_NAME_EXPECTED } from '../../agent/users-file.ts';
import { INIT_ACLS, INIT_MECHANISMS } from './answers.ts';
import {
  type InitFlags,
  type InitSecrets,
  isOpenToOthers,
  wantsCertificate,
} from './flag-answers.ts';
import type { Questions } from './questions.ts';

/** Asks a person what no flag said; what comes out is flags, so that both ways end alike. */
export async function interview(
  questions: Questions,
  flags: InitFlags,
  usualData: string,
): Promise<{ readonly flags: InitFlags; readonly secrets: InitSecrets }> {
  const passwords = new Map<string, string>();
  const gateway =
    flags.gateway ??
    (await questions.text({
      prompt: 'Id of this gateway, which no other one has',
      usual: gatewayOf({}),
      check: (given) => (isName(given) ? undefined : NAME_EXPECTED),
    }));
  const data =
    flags.data ?? (await questions.text({ prompt: 'Folder for the log', usual: usualData }));
  const listen = flags.listen ?? (await askListen(questions));
  const certificate = await askCertificate(questions, flags, listen);
  const access = await askAccess(questions, flags, listen, passwords);
  const { kafkaPassword, ...kafka } = await askKafka(questions, flags);
  return {
    flags: { ...flags, gateway, data, listen, ...certificate, ...access, ...kafka },
    secrets: { passwords, kafkaPassword },
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

type KafkaFlags = Pick<
  InitFlags,
  'kafka' | 'kafkaTls' | 'kafkaCa' | 'kafkaUser' | 'kafkaMechanism'
> & { readonly kafkaPassword: string | undefined };

async function askKafka(questions: Questions, flags: InitFlags): Promise<KafkaFlags> {
  const kafka = flags.kafka ?? (await askBrokers(questions));
  if (kafka === '') return { kafka: undefined, kafkaPassword: undefined };
  // Who named the brokers by a flag named the rest of Kafka, too.
  const isAsked = flags.kafka === undefined;
  const kafkaTls =
    flags.kafkaTls ??
    (flags.kafkaCa !== undefined || (isAsked && (await questions.yes('Does it want TLS', false))));
  const kafkaCa =
    flags.kafkaCa ??
    (isAsked && kafkaTls
      ? await questions.text({ prompt: 'PEM file of its CA (empty: those of this system)' })
      : '');
  const kafkaUser =
    flags.kafkaUser ??
    (isAsked ? await questions.text({ prompt: 'User there (empty: no login)' }) : '');
  const common = {
    kafka,
    kafkaTls,
    kafkaCa: kafkaCa === '' ? undefined : kafkaCa,
    kafkaUser: kafkaUser === '' ? undefined : kafkaUser,
    kafkaMechanism: flags.kafkaMechanism,
  };
  if (kafkaUser === '') return { ...common, kafkaPassword: undefined };
  const kafkaMechanism =
    flags.kafkaMechanism ??
    (isAsked
      ? await questions.choice('SASL mechanism', INIT_MECHANISMS, 'SCRAM-SHA-512')
      : undefined);
  const hasFile = flags.kafkaPasswordFile !== undefined;
  const kafkaPassword = hasFile ? undefined : await questions.secret(`Password of ${kafkaUser}`);
  return { ...common, kafkaMechanism, kafkaPassword };
}

function askBrokers(questions: Questions): Promise<string> {
  const areBrokers = (given: string): boolean =>
    given.split(',').every((broker) => isHostPort(broker.trim()));
  return questions.text({
    prompt: 'Kafka, as HOST:PORT,HOST:PORT (empty: none yet)',
    check: (given) => (given === '' || areBrokers(given) ? undefined : BROKER_EXPECTED),
  });
}

function filled(questions: Questions, prompt: string): Promise<string> {
  return questions.text({
    prompt,
    check: (given) => (given === '' ? 'the path of a file' : undefined),
  });
}
