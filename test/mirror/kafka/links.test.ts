import { apiVersionsV3 } from '@platformatic/kafka';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { GatelogError } from '../../../src/errors.ts';
import { ConnectAttempts } from '../../../src/mirror/connect-attempts.ts';
import { Links } from '../../../src/mirror/kafka/links.ts';
import { produceApi } from '../../../src/mirror/kafka/produce.ts';
import { type FakeBroker, startFakeBroker } from '../../support/kafka/fake-broker.ts';
import { API } from '../../support/kafka/frames.ts';
import { freePorts } from '../../support/ports.ts';

/** Which failures of a connection break the session, and which are told to the caller alone. */
const HOST = '127.0.0.1';
let broker: FakeBroker;
let links: Links;
let broken: GatelogError[];
let told: () => void;
let firstBroken: Promise<void>;

beforeEach(async () => {
  broker = await startFakeBroker([{ key: 0, min: 3, max: 9 }]);
  broken = [];
  firstBroken = new Promise((resolve) => {
    told = resolve;
  });
  const options = { brokers: [], connectTimeoutMs: 5000, requestTimeoutMs: 1000 };
  links = new Links(options, (error) => {
    broken.push(error);
    told();
  });
});

afterEach(async () => {
  links.close();
  await broker.close();
});

describe('the session is not broken by', () => {
  test.each([
    ['a port where nothing listens', HOST, /Can't reach Kafka at 127.0.0.1:\d+: .*ECONNREFUSED/u],
    ['a name that can not be resolved', 'no-such-host.invalid', /ENOTFOUND|EAI_AGAIN/u],
  ])('%s', async (_what, host, text) => {
    const [port = 0] = await freePorts(1);
    const dead = { host, port };
    const alive = { host: HOST, port: broker.port };
    await expect(links.versions(dead)).rejects.toMatchObject({
      code: 'UPSTREAM_UNREACHABLE',
      message: expect.stringMatching(text),
    });
    expect(await links.versions(alive)).toEqual(new Map([[0, { min: 3, max: 9 }]]));
    expect(broken).toEqual([]);
    expect(links.addresses).toEqual([alive]);
    // It is asked again, not remembered.
    await expect(links.versions(dead)).rejects.toMatchObject({ code: 'UPSTREAM_UNREACHABLE' });
  });

  test('a broker that took the connection and never answered', async () => {
    const silent = { host: HOST, port: broker.port };
    broker.mute();
    await expect(links.versions(silent)).rejects.toThrow(
      /took the connection, and then answered nothing in Kafka within 1s/u,
    );
    await expect.poll(() => links.addresses).toEqual([]);
    expect(broken).toEqual([]);
  });
});

test('records have a connection of their own, and its end is the end of the session too', async () => {
  const alive = { host: HOST, port: broker.port };
  const requests = await links.to(alive);
  const records = await links.to(alive, 'records');
  expect(records).not.toBe(requests);
  expect(await links.to(alive, 'records')).toBe(records);
  expect(links.addresses).toEqual([alive]);
  await links.callOver('records', alive, apiVersionsV3.api, 'gatelog', '1');
  records.socket.destroy();
  await firstBroken;
  expect(broken).toHaveLength(1);
  links.drop(alive);
  expect(links.addresses).toEqual([]);
});

test('whether the link lives is not asked behind records', async () => {
  const alive = { host: HOST, port: broker.port };
  await links.to(alive, 'records');
  await links.to(alive);
  const produced = links.callOver('records', alive, produceApi, null, 1000, []);
  await expect.poll(() => broker.asked.flat()).toEqual([API.Produce]);
  // This broker answers neither.
  await Promise.allSettled([links.probe('one'), links.probe('all'), produced]);
  expect(broker.asked.toSorted((one, other) => one.length - other.length)).toEqual([
    [API.Produce],
    [API.Metadata, API.Metadata],
  ]);
});

test('one for records over which nothing was sent yet is no attempt in vain', async () => {
  const attempts = new ConnectAttempts(undefined, 2);
  links = new Links({ brokers: [], requestTimeoutMs: 5000, attempts }, () => {});
  const alive = { host: HOST, port: broker.port };
  await links.to(alive, 'records');
  await links.versions(alive);
  links.drop(alive);
  await links.versions(alive);
  await links.to(alive, 'records');
  links.drop(alive);
  // Both places are free again; a third in vain would have to wait for a minute.
  expect(await links.to(alive)).toBeDefined();
});

test('a connection that was in use breaks the session, once', async () => {
  const alive = { host: HOST, port: broker.port };
  await links.versions(alive);
  broker.hangUp();
  await firstBroken;
  expect(links.addresses).toEqual([]);
  expect(broken).toHaveLength(1);
  expect(broken[0]).toMatchObject({
    code: 'UPSTREAM_UNREACHABLE',
    message: `Lost the connection to Kafka at ${HOST}:${broker.port}: the broker closed the connection`,
  });
});
