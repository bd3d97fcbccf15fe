import { writeFileSync } from 'node:fs';
import path from 'node:path';
import type { RecordJson } from '../../src/admin/record-json.ts';
import { CliFolder } from './cli.ts';
import type { Running } from './process.ts';

/** A message as it stands in the log. */
export interface LoggedMessage {
  readonly topic: string;
  readonly value: string;
  readonly qos: string;
  readonly retain: string;
}

/** A real agent as its user has it: a configuration whose ports stay, and one partition, so one order. */
export class Gateway {
  readonly cli: CliFolder = new CliFolder();
  #agent: Running | undefined;

  get agent(): Running {
    if (this.#agent === undefined) throw new Error('the agent was not started');
    return this.#agent;
  }

  get folder(): string {
    return this.cli.folder;
  }

  /** With these lines of `mqtt:`, indented by two. */
  async start(mqtt: string): Promise<void> {
    const topics = 'topics: {telemetry: {partitions: 1}}';
    const text = `gateway: g\n${topics}\nmqtt:\n${mqtt}`;
    writeFileSync(path.join(this.folder, 'gatelog.yaml'), text);
    await this.#run();
  }

  /** As a power cut or as an update ends it; then it runs again. */
  async restart(how: 'kill' | 'stop'): Promise<void> {
    await this.end(how);
    await this.#run();
  }

  async end(how: 'kill' | 'stop'): Promise<void> {
    if (how === 'kill') await this.agent.kill();
    else await this.agent.stop();
  }

  /** After `end`. */
  again(): Promise<void> {
    return this.#run();
  }

  async logged(): Promise<LoggedMessage[]> {
    const { stdout } = await this.cli.run(['consume', 'telemetry', '--json']);
    const lines = stdout.split('\n').filter((line) => line !== '');
    return lines.map((line) => loggedMessage(JSON.parse(line) as RecordJson));
  }

  remove(): Promise<void> {
    return this.cli.remove();
  }

  async #run(): Promise<void> {
    this.#agent = await this.cli.start(['run', '--config', 'gatelog.yaml']);
    await this.#agent.waitFor(/"listeners":\["(?!http)/u);
  }
}

function loggedMessage({ value, headers }: RecordJson): LoggedMessage {
  const header = (name: string): string =>
    headers.find(({ key }) => key === `mqtt.${name}`)?.value ?? '';
  return {
    topic: header('topic'),
    value: value ?? '',
    qos: header('qos'),
    retain: header('retain'),
  };
}
