import type { Browser, Page } from 'playwright-core';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type PageServer, servePage, startBrowser } from '../support/browser.ts';
import { Gateway } from '../support/gateway.ts';
import { freePorts } from '../support/ports.ts';
import { makeServerCertificate } from '../support/server-certificate.ts';

/** MQTT.js in a page of a real browser, at a real agent that is killed under it. */
let gateway: Gateway;
let pages: PageServer;
let browser: Browser;
let ws: string;
let wss: string;
beforeEach(async () => {
  gateway = new Gateway();
  const { cert } = await makeServerCertificate(gateway.folder, 'server', 90);
  const [plain = 0, secure = 0] = await freePorts(2);
  ws = `ws://127.0.0.1:${plain}/mqtt`;
  wss = `wss://127.0.0.1:${secure}/mqtt`;
  const tls = '  tls: {cert: server.pem, key: server.key}\n';
  await gateway.start(`  listen: ["${ws}", "${wss}"]\n${tls}`);
  pages = await servePage();
  browser = await startBrowser(cert, 'elsewhere.example');
});
afterEach(async () => {
  await browser.close();
  pages.close();
  await gateway.remove();
});

/** In the page: a client with a session, and what it hears and meets. */
async function connected(page: Page, url: string, version: 4 | 5): Promise<void> {
  const options = {
    clientId: `page-${url.slice(0, 3)}-${version}`,
    protocolVersion: version,
    clean: false,
    reconnectPeriod: 100,
    properties: version === 5 ? { sessionExpiryInterval: 600 } : undefined,
  };
  await page.evaluate(`
    globalThis.heard = [];
    globalThis.sessions = [];
    globalThis.client = mqtt.connect(${JSON.stringify(url)}, ${JSON.stringify(options)});
    client.on('message', (topic, payload) => heard.push(topic + ' ' + payload));
    client.on('connect', ({ sessionPresent }) => sessions.push(sessionPresent));
    client.subscribeAsync(client.options.clientId + '/#', { qos: 1 }).then(() => true);
  `);
}

function publish(page: Page, text: string): Promise<unknown> {
  return page.evaluate(
    `client.publishAsync(client.options.clientId + '/a', ${JSON.stringify(text)}, { qos: 1 }).then(() => true)`,
  );
}

test('pages by ws and wss, 3.1.1 and 5, publish, subscribe, and resume their sessions after a kill', async () => {
  const clients = [
    [ws, 4],
    [wss, 5],
  ] as const;
  const open = await Promise.all(
    clients.map(async ([url, version]) => {
      const page = await browser.newPage();
      await page.goto(`http://127.0.0.1:${pages.port}/`);
      await connected(page, url, version);
      await publish(page, 'before');
      return page;
    }),
  );
  await gateway.end('kill');
  const meanwhile = open.map((page) => publish(page, 'meanwhile'));
  await gateway.again();
  await Promise.all(meanwhile);
  for (const [at, page] of open.entries()) {
    const name = `page-${clients[at]?.[0].slice(0, 3)}-${clients[at]?.[1]}`;
    const heard = [`${name}/a before`, `${name}/a meanwhile`];
    // At QoS 1 what the page had acknowledged just before the kill may come again.
    await expect.poll(() => page.evaluate('[...new Set(heard)]')).toEqual(heard);
    expect(await page.evaluate('sessions')).toEqual([false, true]);
  }
  const values = (await gateway.logged()).map(({ value }) => value);
  expect(values).toEqual(['before', 'before', 'meanwhile', 'meanwhile']);
});

test('a page from elsewhere does not come in without credentials', async () => {
  const page = await browser.newPage();
  await page.goto(`http://elsewhere.example:${pages.port}/`);
  const refused = page.waitForEvent('console', (said) => said.text().includes('403'));
  await page.evaluate(`globalThis.client = mqtt.connect('${ws}', { reconnectPeriod: 0 }); true`);
  expect((await refused).text()).toContain('403');
  expect(await page.evaluate('client.connected')).toBe(false);
  expect(await gateway.logged()).toEqual([]);
});
