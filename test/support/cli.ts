import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connectAsync } from 'mqtt';
import type { MqttClient } from 'mqtt';
import { type Finished, type Running, runProcess, startProcess } from './process.ts';

/** The real program, from its sources, in a folder of its own. */
const ROOT = path.join(import.meta.dirname, '../..');
const MAIN = path.join(ROOT, 'src/main.ts');

interface CliSpec {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

export class CliFolder {
  readonly folder: string = mkdtempSync(path.join(tmpdir(), 'gatelog-cli-'));
  readonly #started: Running[] = [];

  get data(): string {
    return path.join(this.folder, 'gatelog-data');
  }

  run(args: readonly string[], env: Record<string, string> = {}): Promise<Finished> {
    return runProcess(this.#spec(args, env));
  }

  async start(args: readonly string[], env: Record<string, string> = {}): Promise<Running> {
    const running = await startProcess(this.#spec(args, env));
    this.#started.push(running);
    return running;
  }

  /** What a gatelog command is as a process. */
  spec(args: readonly string[]): CliSpec {
    return this.#spec(args, {});
  }

  /** A shell's line that begins with a gatelog command. */
  shell(line: string): Promise<Finished> {
    return runProcess(this.#shellSpec(line));
  }

  async startShell(line: string): Promise<Running> {
    const running = await startProcess(this.#shellSpec(line));
    this.#started.push(running);
    return running;
  }

  /** `gatelog run` on a free port. */
  async startAgent(
    args: readonly string[] = [],
    env: Record<string, string> = {},
  ): Promise<{ agent: Running; url: string }> {
    // Agents of tests that run beside each other would want one port.
    const http = args.includes('--http') ? [] : ['--http', 'off'];
    const flags = ['--mqtt', 'mqtt://127.0.0.1:0', ...http, ...args];
    const agent = await this.start(['run', ...flags], env);
    const [, url = ''] = await agent.waitFor(/"listeners":\["(mqtt:[^"]+)"/u);
    return { agent, url };
  }

  /** As a power cut ends them. */
  async killAll(): Promise<void> {
    for (const running of this.#started) await running.kill();
  }

  async remove(): Promise<void> {
    await this.killAll();
    rmSync(this.folder, { recursive: true, force: true });
  }

  #shellSpec(line: string): CliSpec {
    const command = `"${process.execPath}" "${MAIN}" ${line}`;
    return { ...this.#spec([], {}), command: '/bin/bash', args: ['-c', command] };
  }

  #spec(args: readonly string[], env: Record<string, string>): CliSpec {
    return {
      command: process.execPath,
      args: [MAIN, ...args],
      cwd: this.folder,
      env: { NO_COLOR: '1', NODE_ENV: 'production', GATELOG_DEBUG: '', GATELOG_CONFIG: '', ...env },
    };
  }
}

/** Publishes at QoS 1, each acknowledged, then disconnects. */
export async function publish(
  url: string,
  messages: readonly { readonly topic: string; readonly payload: string | Buffer }[],
): Promise<void> {
  const client: MqttClient = await connectAsync(url, { reconnectPeriod: 0 });
  for (const { topic, payload } of messages) await client.publishAsync(topic, payload, { qos: 1 });
  await client.endAsync();
}
