import { expect, test } from 'vitest';
import { GatelogError } from '../../../src/errors.ts';
import {
  connectError,
  disconnectError,
  dispositionOf,
  TopicRefused,
  verdictOf,
} from '../../../src/mirror/mqtt/reasons.ts';

function coded(message: string, code: number | string): Error {
  return Object.assign(new Error(message), { code });
}

test.for([
  [0x80, 'session'],
  [0x83, 'session'],
  [0x87, 'topic'],
  [0x90, 'record'],
  [0x91, 'session'],
  [0x95, 'record'],
  [0x97, 'session'],
  [0x99, 'record'],
] as const)('an acknowledgement with %i blames the %s', ([reasonCode, verdict]) => {
  expect(verdictOf(reasonCode)).toBe(verdict);
});

test.for([
  [coded('Connection refused: Not authorized', 0x87), 'UPSTREAM_UNAUTHENTICATED', 'retry'],
  [coded('Connection refused: Bad username or password', 4), 'UPSTREAM_UNAUTHENTICATED', 'retry'],
  [coded('Connection refused: Server busy', 0x89), 'UPSTREAM_UNREACHABLE', 'retry'],
  [coded('Connection refused: Unsupported Protocol Version', 0x84), 'UPSTREAM_UNSUPPORTED', 'halt'],
  [coded('Connection refused: Unacceptable protocol version', 1), 'UPSTREAM_UNSUPPORTED', 'halt'],
  [coded('connect ECONNREFUSED 127.0.0.1:1', 'ECONNREFUSED'), 'UPSTREAM_UNREACHABLE', 'retry'],
  [
    new AggregateError([new Error('refused by A'), new Error('refused by B')]),
    'UPSTREAM_UNREACHABLE',
    'retry',
  ],
] as const)('%s becomes %s, which means %s', ([cause, code, kind]) => {
  const error = connectError('mqtt://c:1883', cause);
  expect(error.code).toBe(code);
  expect(error.message).toMatch(/^mqtt:\/\/c:1883: /u);
  expect(dispositionOf(error)).toEqual({ kind });
});

test('several refused addresses are all named', () => {
  const error = connectError('mqtt://c:1', new AggregateError([new Error('A'), new Error('B')]));
  expect(error.message).toBe('mqtt://c:1: A; B');
});

test('being taken over is a fence, which halts', () => {
  const error = disconnectError('mqtt://c', 0x8e, '');
  expect(error.code).toBe('UPSTREAM_FENCED');
  expect(error.message).toContain('each its own gateway id');
  expect(dispositionOf(error)).toEqual({ kind: 'halt' });
});

test('being taken over by another mirror of this gateway is said as that', () => {
  expect(disconnectError('mqtt://c', 0x8e, '', ['b']).message).toBe(
    'mqtt://c: another client with our client id took over: mirror "b" of this gateway has the same one, and leads to the same broker; set clientId for one of them',
  );
});

test('any other disconnect is worth another try, with its reason', () => {
  const error = disconnectError('mqtt://c', 0x8b, 'maintenance');
  expect(error.message).toBe(
    'mqtt://c: the far side ended the connection with reason 0x8b (maintenance)',
  );
  expect(dispositionOf(error)).toEqual({ kind: 'retry' });
});

test('every error has a disposition', () => {
  expect(dispositionOf(new TopicRefused('t', 'no'))).toEqual({ kind: 'stop-topic', topic: 't' });
  expect(dispositionOf(new GatelogError('UPSTREAM_UNCERTAIN', 'x'))).toEqual({ kind: 'retry' });
  expect(dispositionOf(new TypeError('x'))).toEqual({ kind: 'retry' });
  expect(dispositionOf('x')).toEqual({ kind: 'retry' });
});
