import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { AgentStatus } from '../../src/admin/status.ts';
import { startPlainBrowser } from '../support/browser.ts';
import { CliFolder } from '../support/cli.ts';
import { type Mosquitto, startMosquitto } from '../support/mosquitto.ts';
import { freePorts } from '../support/ports.ts';
import { type Running, runChecked } from '../support/process.ts';

/** The status page in a real browser, of a real agent that mirrors to a real Mosquitto. */
const ROOT = path.join(import.meta.dirname, '../..');
const SHOTS = path.join(ROOT, '.cache/test/screenshots');
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const ADMIN_TOKEN = 'a-token-for-commands-1';

let browser: Browser;
let cli: CliFolder;
let central: Mosquitto;
let mqttPort: number;
let httpPort: number;
let complaints: string[];
let agent: Running;

beforeAll(async () => {
  mkdirSync(SHOTS, { recursive: true });
  browser = await startPlainBrowser();
});
afterAll(() => browser.close());

beforeEach(async () => {
  complaints = [];
  cli = new CliFolder();
  central = await startMosquitto();
  [mqttPort = 0, httpPort = 0] = await freePorts(2);
  const config = {
    gateway: 'plant-7',
    http: { listen: [`http://127.0.0.1:${httpPort}`], adminToken: ADMIN_TOKEN },
    mqtt: { listen: [`mqtt://127.0.0.1:${mqttPort}`] },
    mirrors: { central: { mqtt: { url: central.url } } },
  };
  writeFileSync(path.join(cli.folder, 'gatelog.yaml'), JSON.stringify(config));
  agent = await cli.start(['run', '--config', 'gatelog.yaml']);
  await agent.waitFor(/"event":"agent\.ready"/u);
});
afterEach(async () => {
  for (const context of browser.contexts()) await context.close();
  await cli.remove();
  await central.stop();
});

async function open(options: BrowserContextOptions = {}, token: string = ''): Promise<Page> {
  const page = await openAt(options, token);
  await page.locator('#body').waitFor();
  return page;
}

async function openAt(options: BrowserContextOptions, token: string): Promise<Page> {
  const context = await browser.newContext(options);
  await context.addInitScript(AXE);
  if (token !== '') {
    await context.addInitScript((kept) => sessionStorage.setItem('gatelog-token', kept), token);
  }
  const page = await context.newPage();
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(error.message));
  await page.goto(`http://127.0.0.1:${httpPort}/`);
  return page;
}

async function publish(count: number): Promise<void> {
  const args = ['-p', String(mqttPort), '-q', '1', '-t', 'plant/a', '-m', 'x'];
  await runChecked({
    command: 'mosquitto_pub',
    args: [...args, '--repeat', String(count), '--repeat-delay', '0'],
  });
}

async function status(): Promise<AgentStatus> {
  const response = await fetch(`http://127.0.0.1:${httpPort}/api/v1/status`);
  return (await response.json()) as AgentStatus;
}

/** Rows of a table as the page shows them, whatever the browser's thousands are. */
async function rows(page: Page, table: string): Promise<string[][]> {
  const all = await page.locator(`${table} tbody tr`).all();
  return Promise.all(all.map((row) => row.locator('th, td').allInnerTexts()));
}

async function violations(page: Page): Promise<string[]> {
  return page.evaluate(async () => {
    const { axe } = globalThis as unknown as {
      axe: { run(): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> };
    };
    const found = await axe.run();
    return found.violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
  });
}

test('shows what the API says, and goes on with it', async () => {
  await publish(25);
  const page = await open();
  const shown = async (): Promise<string[]> => {
    const [first = []] = await rows(page, '#topics');
    return first.slice(0, 2);
  };
  await expect.poll(shown).toEqual(['telemetry', '25']);
  await publish(7);
  await expect.poll(shown).toEqual(['telemetry', '32']);
  const now = await status();
  expect(await page.locator('#gateway').innerText()).toBe(now.gateway);
  expect(await page.locator('#disk-log').innerText()).toMatch(/\d [kKM]?B$/u);
  const sent = page.locator('#link-cards dd').filter({ hasText: /^32 · / });
  await expect.poll(() => sent.count()).toBe(1);
  await expect.poll(() => page.locator('#verdict').innerText()).toMatch(/^All is well/u);
  expect(await page.locator('#lag').innerText()).toBe('0');
  expect(await page.locator('#listeners').innerText()).toBe(`mqtt://127.0.0.1:${mqttPort}`);
  const events = page.locator('#events li');
  await expect.poll(() => events.count()).toBeGreaterThan(2);
  expect(complaints).toEqual([]);
});

test('weighs at most 100 KB, unpacked', async () => {
  const page = await open();
  const own = `http://127.0.0.1:${httpPort}/`;
  const names = await page.evaluate(() =>
    performance.getEntriesByType('resource').map(({ name }) => name),
  );
  const files = [own, ...names.filter((name) => name.startsWith(own) && !name.includes('/api/'))];
  const sizes = await Promise.all(
    [...new Set(files)].map(async (file) => (await (await fetch(file)).arrayBuffer()).byteLength),
  );
  expect(sizes.length).toBeGreaterThan(10);
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(100_000);
});

test('a cut link shows, and the agent’s end does too', async () => {
  const page = await open();
  const state = page.locator('#link-cards .pill');
  await expect.poll(() => state.innerText()).toBe('live');
  await central.process.kill();
  await expect.poll(() => state.innerText()).toMatch(/^(?:connecting|backing off)$/u);
  await publish(3);
  await expect
    .poll(() => page.locator('#verdict').innerText(), { timeout: 20_000 })
    .toMatch(/^central can not be reached for .* 3 records behind/u);
  await page.screenshot({ path: path.join(SHOTS, 'link-cut.png'), fullPage: true });
  expect(complaints).toEqual([]);
  await agent.stop();
  await expect
    .poll(() => page.locator('#news').innerText(), { timeout: 20_000 })
    .toMatch(/^no news for .*can not be reached/u);
});

test('a far side that keeps silent shows before the link is given up', async () => {
  const page = await open();
  const state = page.locator('#link-cards .pill');
  const said = (): Promise<string> => page.locator('#verdict').innerText();
  await expect.poll(() => state.innerText()).toBe('live');
  central.process.signal('SIGSTOP');
  await publish(3);
  await expect.poll(said, { timeout: 10_000 }).toMatch(/central.*; no answer for \d+ s/u);
  expect(await state.innerText()).toMatch(/^(?:live|catching up)$/u);
  central.process.signal('SIGCONT');
  await expect.poll(said, { timeout: 20_000 }).toMatch(/^All is well: everything has arrived/u);
  expect(complaints).toEqual([]);
});

test('anybody can read it: axe finds nothing, dark or light, on a desk or a phone', async () => {
  await publish(40);
  for (const [name, colorScheme, width] of [
    ['light', 'light', 1200],
    ['dark', 'dark', 1200],
    ['phone', 'dark', 360],
  ] as const) {
    const page = await open({ colorScheme, viewport: { width, height: 800 } });
    await expect.poll(() => page.locator('#clients-rest').innerText()).toMatch(/since start/u);
    await expect.poll(() => page.locator('.words').first().innerText()).not.toBe('');
    expect(await violations(page)).toEqual([]);
    const wide = await page.locator('html').evaluate((root) => root.scrollWidth);
    expect(wide).toBeLessThanOrEqual(width);
    await page.screenshot({ path: path.join(SHOTS, `${name}.png`), fullPage: true });
  }
  expect(complaints).toEqual([]);
});

test('a mirror is paused and resumed with the keyboard alone, by whoever has the token', async () => {
  const page = await open();
  const pause = page.getByRole('button', { name: 'Pause central' });
  await pause.focus();
  await page.keyboard.press('Enter');
  const dialog = page.getByRole('dialog', { name: 'Pause central?' });
  await dialog.waitFor();
  expect(await violations(page)).toEqual([]);
  await page.screenshot({ path: path.join(SHOTS, 'pause.png') });
  await page.getByLabel('Token for commands').focus();
  await page.keyboard.type('a-token-that-is-wrong');
  await page.keyboard.press('Enter');
  await page
    .getByRole('alert')
    .filter({ hasText: 'Not done: this token is not known here' })
    .waitFor();
  await page.getByLabel('Token for commands').fill(ADMIN_TOKEN);
  await page.keyboard.press('Enter');
  await dialog.waitFor({ state: 'hidden' });
  const state = page.locator('#link-cards .pill');
  await expect.poll(() => state.innerText()).toBe('paused');
  expect((await status()).mirrors[0]?.state).toBe('paused');
  const resume = page.getByRole('button', { name: 'Resume central' });
  expect(await resume.evaluate((button) => button.matches(':focus'))).toBe(true);
  await page.keyboard.press('Enter');
  await page.getByRole('dialog', { name: 'Resume central?' }).waitFor();
  await page.keyboard.press('Enter');
  await expect.poll(() => state.innerText()).toBe('live');
  // A browser tells of every answer that is not 200: here the one to the wrong token.
  expect(complaints.filter((text) => !text.includes('401'))).toEqual([]);
});

test('where reading wants a token, one request is refused, and none once it is given', async () => {
  await agent.stop();
  const file = path.join(cli.folder, 'gatelog.yaml');
  const config = JSON.parse(readFileSync(file, 'utf8')) as { http: object };
  const http = { ...config.http, token: 'a-token-for-reading-1' };
  writeFileSync(file, JSON.stringify({ ...config, http }));
  agent = await cli.start(['run', '--config', 'gatelog.yaml']);
  await agent.waitFor(/"event":"agent\.ready"/u);
  const page = await openAt({}, '');
  await page.getByLabel('Token (http.token or http.adminToken)').fill('a-token-for-reading-1');
  // Links would lead to a refusal: a browser that follows one sends no token.
  expect(await page.locator('#raw').isVisible()).toBe(false);
  const clients = page.waitForResponse(/\/api\/v1\/clients/u);
  await page.keyboard.press('Enter');
  expect((await clients).status()).toBe(200);
  await page.locator('#body').waitFor();
  expect(complaints).toHaveLength(1);
});

test('a token that is wrong does nothing, and the page goes on with the one it had', async () => {
  const page = await open();
  await page.getByRole('button', { name: 'Pause central' }).click();
  await page.getByLabel('Token for commands').fill('a-token-that-is-wrong');
  await page.getByRole('button', { name: 'Pause', exact: true }).click();
  await page.getByRole('alert').filter({ hasText: 'Not done' }).waitFor();
  const next = page.waitForResponse(/\/api\/v1\/clients/u);
  await page.getByRole('button', { name: 'Cancel' }).click();
  expect((await next).status()).toBe(200);
});

test('a token that is not known any more keeps nobody from a page that wants none', async () => {
  const page = await open({}, 'a-token-of-last-year');
  await expect.poll(() => page.locator('#news').innerText()).toBe('live');
});

test('a browser that can not iterate streams, as Safari, shows it too', async () => {
  const context = await browser.newContext();
  await context.addInitScript(() => {
    for (const name of [Symbol.asyncIterator, 'values']) {
      Reflect.deleteProperty(ReadableStream.prototype, name);
    }
  });
  const page = await context.newPage();
  await page.goto(`http://127.0.0.1:${httpPort}/`);
  await expect.poll(() => page.locator('#news').innerText()).toBe('live');
  await publish(3);
  await expect.poll(async () => (await rows(page, '#topics'))[0]?.[1]).toBe('3');
});
