import { expect, test } from 'vitest';
import { AssertionError } from '../../src/assert.ts';
import { GatelogError } from '../../src/errors.ts';
import { dispositionOf } from '../../src/mirror/disposition.ts';
import type { Disposition, Upstream } from '../../src/mirror/upstream.ts';
import { streamId } from '../../src/record.ts';

const streams = [{ stream: streamId(0), topic: 'known', partition: 0 }];

function saying(disposition: Disposition): Upstream {
  return { connect: () => Promise.reject(new Error()), dispositionOf: () => disposition };
}

/** As the system, the engine below the store, and Node give them. */
function coded(code: string): Error {
  return Object.assign(new Error(code), { code });
}

test.for([
  [new GatelogError('STORE_WRITE_FAILED', 'disk full'), 'retry'],
  [new GatelogError('STORE_CLOSED', 'closed'), 'retry'],
  [coded('LEVEL_IO_ERROR'), 'retry'],
  [coded('LEVEL_DATABASE_NOT_OPEN'), 'retry'],
  [coded('EMFILE'), 'retry'],
  [coded('ERR_INVALID_ARG_TYPE'), 'halt'],
  [new GatelogError('UPSTREAM_MISMATCH', 'an older copy'), 'halt'],
  [new AssertionError('a broken invariant'), 'halt'],
  [new TypeError('a bug'), 'halt'],
] as const)('our own trouble: %s means %s, whatever the upstream would say', ([error, kind]) => {
  const upstream = saying({ kind: 'stop-topic', topic: 'known' });
  expect(dispositionOf({ error, local: true }, upstream, streams)).toEqual({ kind });
});

test.for([
  [{ kind: 'retry' }, { kind: 'retry' }],
  [{ kind: 'halt' }, { kind: 'halt' }],
  [
    { kind: 'stop-topic', topic: 'known' },
    { kind: 'stop-topic', topic: 'known' },
  ],
  [{ kind: 'stop-topic', topic: 'other' }, { kind: 'retry' }],
] as const)('the far side: %j becomes %j', ([said, expected]) => {
  const error = new Error('x');
  expect(dispositionOf({ error, local: false }, saying(said), streams)).toEqual(expected);
});
