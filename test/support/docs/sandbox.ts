import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { toolFile } from '../../setup/tools.mjs';
import type { KafkaCluster } from '../kafka/cluster.ts';
import { classPath, quickJvm } from '../kafka/jars.ts';
import { makeDeviceCertificate, makeServerCertificate } from '../server-certificate.ts';
import { type ProcessSpec, type Running, runProcess, startProcess } from '../process.ts';

/** A folder in which a document's commands are run as they stand, but for names and places of no machine. */
const MAIN = path.join(import.meta.dirname, '../../../src/main.ts');

/** Kafka's scripts as its jars have them. */
const TOOLS: Readonly<Record<string, string>> = {
  'kafka-topics.sh': 'org.apache.kafka.tools.TopicCommand',
  'kafka-acls.sh': 'org.apache.kafka.tools.AclCommand',
  'kafka-configs.sh': 'kafka.admin.ConfigCommand',
};

/** Commands that go on until somebody ends them: they must have begun well, and stand at the end. */
const STAYS = /^(?:gatelog (?:run\b|[^#]*\s--(?:follow|watch)\b)|mosquitto_sub\b)/u;

/** What a block of a language is run by. */
const INTERPRETERS: Readonly<Record<string, (file: string) => string>> = {
  // Debian's own has the libraries; another python3 may stand before it on the path.
  python: (file) => `${toolFile('python3')} ${file} kafka-1:9092`,
  java: (file) => `${toolFile('java')} -cp "${classPath()}" ${file} kafka-1:9092`,
  js: (file) => `node ${file}`,
};
const NAMES: Readonly<Record<string, string>> = {
  python: 'shown.py',
  java: 'Read.java',
  js: 'shown.mjs',
};

/** MQTT, MQTT over TLS (with passwords, with certificates), over WebSockets, HTTP: those of this machine may be somebody's. */
export const PORTS: readonly number[] = [1883, 8883, 8884, 8084, 9680];

export interface SandboxOptions {
  readonly cluster: KafkaCluster;
  /** Instead of gw-1, here and in Kafka. */
  readonly gateway: string;
  /** Instead of the usual ones (PORTS). */
  readonly ports: readonly number[];
  /** Each command is a process of its own; what the first has compiled the others need not. */
  readonly compiled: string;
}

export class Sandbox {
  readonly #options: SandboxOptions;
  readonly #folder: string = mkdtempSync(path.join(tmpdir(), 'gatelog-docs-'));
  readonly #started: Running[] = [];

  constructor(options: SandboxOptions) {
    this.#options = options;
    for (const place of ['bin', 'etc/gatelog', 'var/lib', 'media/usb', 'work']) {
      mkdirSync(path.join(this.#folder, place), { recursive: true });
    }
    this.#makePrograms();
    writeFileSync(path.join(this.#folder, 'work/admin.properties'), '');
    const { ca } = options.cluster.state.certificates;
    cpSync(ca, path.join(this.#folder, 'work/ca.pem'));
  }

  /** A file for the commands, with names and places as in these. */
  write(name: string, text: string): void {
    writeFileSync(path.join(this.#folder, 'work', name), this.#putIn(text));
  }

  /** For devices that come with a certificate, or look at ours. */
  async makeCertificates(): Promise<void> {
    const work = path.join(this.#folder, 'work');
    const server = await makeServerCertificate(work, 'server', 9);
    cpSync(server.cert, path.join(work, 'ca.pem'));
    await makeDeviceCertificate(work, 'press-1', server);
  }

  /** What went wrong; empty: nothing. */
  async run(block: string): Promise<string> {
    const script = this.#putIn(block.replaceAll('npx gatelog', 'gatelog'));
    for (const part of partsOf(script)) {
      const trouble = STAYS.test(part) ? await this.#stay(part) : await this.#finish(part);
      if (trouble !== '') return trouble;
    }
    return '';
  }

  /** The same of a program. */
  runProgram(language: string, text: string): Promise<string> {
    const [name = '', command] = [NAMES[language], INTERPRETERS[language]];
    if (command === undefined) throw new Error(`nothing runs ${language}`);
    this.write(name, text);
    return this.run(`${command(name)}\n`);
  }

  async #stay(script: string): Promise<string> {
    const running = await startProcess(this.#spec(`exec ${script.trim()}`));
    this.#started.push(running);
    if (script.startsWith('gatelog run')) await running.waitFor(/agent\.ready/u, 60_000);
    else if (script.startsWith('gatelog')) await running.waitFor(/\S/u, 60_000);
    return '';
  }

  async #finish(script: string): Promise<string> {
    // What doctor finds is this machine's; that it can look at all is what is shown here.
    const forgiving = script.replaceAll(/^(gatelog doctor\b[^\n#]*)/gmu, '$1 || [ $? = 1 ] ');
    const { code, stdout, stderr } = await runProcess(this.#spec(forgiving), 120_000);
    return code === 0 ? '' : `exit code ${String(code)} of\n${script}\n${stdout}\n${stderr}`;
  }

  /** What those said that were to stay, and did not. */
  get fallen(): string[] {
    return this.#started
      .filter(({ ended }) => ended)
      .map((one) => `${one.stdout().slice(-2000)}${one.stderr().slice(-2000)}`);
  }

  async remove(): Promise<void> {
    for (const running of this.#started.toReversed()) await running.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #makePrograms(): void {
    const [port] = this.#options.ports;
    const put = (name: string, line: string): void => {
      const file = path.join(this.#folder, 'bin', name);
      writeFileSync(file, `#!/bin/sh\n${line}\n`);
      chmodSync(file, 0o755);
    };
    // Its usual port may be somebody's on this machine.
    const listen = `--listen mqtt://127.0.0.1:${port}`;
    const init = `case "$*" in init*--listen*) ;; init*) set -- "$@" ${listen} ;; esac`;
    put('gatelog', `${init}\nexec "${process.execPath}" "${MAIN}" "$@"`);
    put('sudo', 'echo "what changes a machine is run in a Debian of its own" >&2; exit 1');
    put('curl', `exec "${toolFile('curl')}" --fail-with-body "$@"`);
    const java = `java ${quickJvm().join(' ')} -Xmx256m -cp "${classPath()}"`;
    for (const [name, main] of Object.entries(TOOLS)) put(name, `exec ${java} ${main} "$@" 2>&1`);
  }

  #putIn(text: string): string {
    const { cluster, gateway, ports } = this.#options;
    const [port] = ports;
    const plain = cluster.bootstrap('plaintext');
    return text
      .replaceAll(/"kafka-1:9092"/gu, JSON.stringify(plain).slice(1, -1))
      .replaceAll(
        /\bkafka-1(?:\.example\.com)?:9092(?:,kafka-2(?:\.example\.com)?:9092)?/gu,
        plain.join(','),
      )
      .replaceAll(/\bkafka-1(?:\.example\.com)?:9093/gu, cluster.bootstrap('saslSsl').join(','))
      .replaceAll(/\b(?:1883|888[34]|8084|9680)\b/gu, (usual) =>
        String(ports[PORTS.indexOf(Number(usual))]),
      )
      .replaceAll(/(?<=-h |\/\/|connect\(")gw-1\b/gu, '127.0.0.1')
      .replaceAll(/\bmosquitto_(pub|sub)\b(?! -h)(?!.* -p )/gu, `mosquitto_$1 -p ${port}`)
      .replaceAll(/\bgw-1\b/gu, gateway)
      .replaceAll(/\/(?=etc\/gatelog|var\/lib\/gatelog|media\/usb)/gu, `${this.#folder}/`);
  }

  #spec(script: string): ProcessSpec {
    const own = path.join(this.#folder, 'bin');
    const PATH = [own, path.dirname(process.execPath), process.env['PATH'] ?? ''].join(':');
    const NODE_EXTRA_CA_CERTS = path.join(this.#folder, 'work/ca.pem');
    const env = { PATH, NO_COLOR: '1', GATELOG_DEBUG: '', NODE_EXTRA_CA_CERTS };
    return {
      command: '/bin/bash',
      args: ['-euo', 'pipefail', '-c', script],
      cwd: path.join(this.#folder, 'work'),
      env: { ...env, NODE_COMPILE_CACHE: this.#options.compiled },
    };
  }
}

/** Commands that stay have a part of their own; what stands between them is one script. */
function partsOf(script: string): string[] {
  const lines = script.replaceAll(/\\\n/gu, '\\\0').split('\n');
  const parts: string[] = [];
  let rest = '';
  const end = (): void => {
    if (rest.trim() !== '') parts.push(rest);
    rest = '';
  };
  for (const line of lines) {
    if (!STAYS.test(line)) {
      rest += `${line}\n`;
      continue;
    }
    end();
    parts.push(`${line}\n`);
  }
  end();
  return parts.map((part) => part.replaceAll('\0', '\n'));
}
