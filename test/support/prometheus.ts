import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { stringify } from 'yaml';
import { toolFile } from '../setup/tools.mjs';
import { freePorts } from './ports.ts';
import { startProcess } from './process.ts';

export interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [seconds: number, value: string];
}

export interface Rule {
  readonly name: string;
  readonly health: string;
  readonly lastError?: string;
  readonly state: 'inactive' | 'pending' | 'firing';
}

export interface Target {
  readonly health: string;
  readonly lastError: string;
}

/** What of its configuration a test chooses: as people write it, docs/http.md. */
export interface PrometheusOptions {
  readonly scrape: Readonly<Record<string, unknown>>;
  readonly ruleFiles: readonly string[];
}

/** A real Prometheus server with a folder of its own. It scrapes and evaluates twice a second. */
export class Prometheus {
  readonly #url: string;
  readonly #stop: () => Promise<unknown>;

  private constructor(url: string, stop: () => Promise<unknown>) {
    this.#url = url;
    this.#stop = stop;
  }

  static async start({ scrape, ruleFiles }: PrometheusOptions): Promise<Prometheus> {
    const folder = mkdtempSync(path.join(tmpdir(), 'gatelog-prometheus-'));
    const [port = 0] = await freePorts(1);
    const config = {
      global: { scrape_interval: '500ms', scrape_timeout: '500ms', evaluation_interval: '500ms' },
      rule_files: ruleFiles,
      scrape_configs: [scrape],
    };
    const file = path.join(folder, 'prometheus.yml');
    writeFileSync(file, stringify(config));
    const server = await startProcess({
      command: toolFile('prometheus'),
      args: [
        `--config.file=${file}`,
        `--storage.tsdb.path=${path.join(folder, 'data')}`,
        `--web.listen-address=127.0.0.1:${port}`,
      ],
    });
    await server.waitFor(/Server is ready to receive web requests/u);
    return new Prometheus(`http://127.0.0.1:${port}/api/v1`, async () => {
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    });
  }

  async query(expression: string): Promise<readonly Series[]> {
    const query = new URLSearchParams({ query: expression });
    return (await this.#ask<{ result: readonly Series[] }>(`query?${query.toString()}`)).result;
  }

  async rules(): Promise<readonly Rule[]> {
    const { groups } = await this.#ask<{ groups: readonly { rules: readonly Rule[] }[] }>('rules');
    return groups.flatMap(({ rules }) => rules);
  }

  async targets(): Promise<readonly Target[]> {
    return (await this.#ask<{ activeTargets: readonly Target[] }>('targets')).activeTargets;
  }

  async stop(): Promise<void> {
    await this.#stop();
  }

  async #ask<T>(what: string): Promise<T> {
    const response = await fetch(`${this.#url}/${what}`);
    const answer = (await response.json()) as { data?: T; error?: string; warnings?: string[] };
    if (answer.data === undefined || answer.warnings !== undefined) {
      throw new Error(`${what}: ${answer.error ?? answer.warnings?.join() ?? 'no answer'}`);
    }
    return answer.data;
  }
}
