import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { KafkaCluster } from '../kafka/cluster.ts';
import { classPath, quickJvm } from '../kafka/jars.ts';
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
const STAYS = /^gatelog (?:run\b|.*\s--(?:follow|watch)\b)/mu;

export interface SandboxOptions {
  readonly cluster: KafkaCluster;
  /** Instead of gw-1, here and in Kafka. */
  readonly gateway: string;
  /** Instead of 1883. */
  readonly port: number;
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

  /** What went wrong; empty: nothing. */
  async run(block: string): Promise<string> {
    const script = this.#putIn(block.replaceAll('npx gatelog', 'gatelog'));
    if (STAYS.test(script)) {
      const running = await startProcess(this.#spec(`exec ${script.trim()}`));
      this.#started.push(running);
      if (script.startsWith('gatelog run')) await running.waitFor(/agent\.ready/u, 60_000);
      return '';
    }
    // What doctor finds is this machine's; that it can look at all is what is shown here.
    const forgiving = script.replaceAll(/^(gatelog doctor\b[^\n#]*)/gmu, '$1 || [ $? = 1 ] ');
    const { code, stdout, stderr } = await runProcess(this.#spec(forgiving), 120_000);
    return code === 0 ? '' : `exit code ${String(code)} of\n${script}\n${stdout}\n${stderr}`;
  }

  /** How many of those that stay did not. */
  get fallen(): number {
    return this.#started.filter(({ ended }) => ended).length;
  }

  async remove(): Promise<void> {
    for (const running of this.#started.toReversed()) await running.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #makePrograms(): void {
    const { port } = this.#options;
    const put = (name: string, line: string): void => {
      const file = path.join(this.#folder, 'bin', name);
      writeFileSync(file, `#!/bin/sh\n${line}\n`);
      chmodSync(file, 0o755);
    };
    // Its usual port may be somebody's on this machine.
    const listen = `--listen mqtt://127.0.0.1:${port}`;
    const init = `case "$*" in init*--listen*) ;; init*) set -- "$@" ${listen} ;; esac`;
    put('gatelog', `${init}\nexec "${process.execPath}" "${MAIN}" "$@"`);
    put('sudo', 'exec "$@"');
    const java = `java ${quickJvm().join(' ')} -Xmx256m -cp "${classPath()}"`;
    for (const [name, main] of Object.entries(TOOLS)) put(name, `exec ${java} ${main} "$@" 2>&1`);
  }

  #putIn(text: string): string {
    const { cluster, gateway, port } = this.#options;
    const plain = cluster.bootstrap('plaintext');
    return text
      .replaceAll(/"kafka-1:9092"/gu, JSON.stringify(plain).slice(1, -1))
      .replaceAll(
        /\bkafka-1(?:\.example\.com)?:9092(?:,kafka-2(?:\.example\.com)?:9092)?/gu,
        plain.join(','),
      )
      .replaceAll(/\bkafka-1(?:\.example\.com)?:9093/gu, cluster.bootstrap('saslSsl').join(','))
      .replaceAll(/\b1883\b/gu, String(port))
      .replaceAll(/-h gw-1\b/gu, '-h 127.0.0.1')
      .replaceAll(/\bmosquitto_(pub|sub)\b(?! -h)(?!.* -p )/gu, `mosquitto_$1 -p ${port}`)
      .replaceAll(/\bgw-1\b/gu, gateway)
      .replaceAll(/\/(?=etc\/gatelog|var\/lib\/gatelog|media\/usb)/gu, `${this.#folder}/`);
  }

  #spec(script: string): ProcessSpec {
    const own = path.join(this.#folder, 'bin');
    const PATH = [own, path.dirname(process.execPath), process.env['PATH'] ?? ''].join(':');
    const env = { PATH, NO_COLOR: '1', GATELOG_DEBUG: '' };
    return {
      command: '/bin/bash',
      args: ['-euo', 'pipefail', '-c', script],
      cwd: path.join(this.#folder, 'work'),
      env: { ...env, NODE_COMPILE_CACHE: this.#options.compiled },
    };
  }
}
