import type { IncomingHttpHeaders } from 'node:http';
import { describe, expect, test } from 'vitest';
import { HttpAccess, type HttpAccessOptions, type Need } from '../../src/admin/http-access.ts';
import { HttpRefusal, type RequestFault } from '../../src/admin/http-problem.ts';

/** Who may have what over HTTP: each row is a request, and what it is refused with. */
const READ = 'read-0123456789abcdef';
const ADMIN = 'admin-0123456789abcdef';
const OPEN: HttpAccessOptions = {
  token: undefined,
  adminToken: undefined,
  hosts: [],
  recordsAreOpen: () => true,
};
const NONE = OPEN;
const READERS = { ...OPEN, token: READ };
const ADMINS = { ...OPEN, adminToken: ADMIN };
const BOTH = { ...OPEN, token: READ, adminToken: ADMIN };

interface Asked {
  readonly need: Need;
  readonly headers?: IncomingHttpHeaders;
  readonly method?: string;
  readonly isLocal?: boolean;
}

function faultOf(
  options: HttpAccessOptions,
  { need, headers = {}, method = 'GET', isLocal = true }: Asked,
): RequestFault | undefined {
  const request = { method, headers: { host: '127.0.0.1:9680', ...headers } };
  try {
    new HttpAccess(options).check(need, request, { isLocal });
    return undefined;
  } catch (error) {
    if (error instanceof HttpRefusal) return error.fault;
    throw error;
  }
}

const bearer = (token: string): IncomingHttpHeaders => ({ authorization: `Bearer ${token}` });

describe('without a token in the request', () => {
  test.each([
    ['nothing is open to everybody, from anywhere', BOTH, 'nothing', false, undefined],
    ['figures on this machine, while there is no token', NONE, 'read', true, undefined],
    ['records likewise', NONE, 'records', true, undefined],
    ['figures, where only commands have one', ADMINS, 'read', true, undefined],
    ['not from elsewhere', NONE, 'read', false, 'UNAUTHENTICATED'],
    ['not where reading has one', READERS, 'read', true, 'UNAUTHENTICATED'],
    ['no commands, where they have one', ADMINS, 'admin', true, 'UNAUTHENTICATED'],
    ['no commands, where they have none', NONE, 'admin', true, 'FORBIDDEN'],
  ] as const)('%s', (_, options, need, isLocal, fault) => {
    expect(faultOf(options, { need, isLocal })).toBe(fault);
  });

  test('records are for nobody where devices need a name', () => {
    const named = { ...NONE, recordsAreOpen: () => false };
    expect(faultOf(named, { need: 'records' })).toBe('UNAUTHENTICATED');
    expect(faultOf(named, { need: 'read' })).toBeUndefined();
  });

  test.each(['forwarded', 'x-forwarded-for', 'x-real-ip', 'via'])(
    'who passes requests on (%s) is not this machine',
    (name) => {
      expect(faultOf(NONE, { need: 'read', headers: { [name]: '1.2.3.4' } })).toBe(
        'UNAUTHENTICATED',
      );
    },
  );
});

describe('with a token', () => {
  test.each([
    ['reads', BOTH, READ, 'read', undefined],
    [
      'reads records',
      { ...BOTH, recordsAreOpen: (): boolean => false },
      READ,
      'records',
      undefined,
    ],
    ['that is for reading commands nothing', BOTH, READ, 'admin', 'FORBIDDEN'],
    ['for commands does', BOTH, ADMIN, 'admin', undefined],
    ['for commands reads too', BOTH, ADMIN, 'read', undefined],
    ['that is wrong is said so, also where none is needed', ADMINS, 'x', 'read', 'UNAUTHENTICATED'],
    ['that is nearly right is wrong', BOTH, `${READ}x`, 'read', 'UNAUTHENTICATED'],
    ['that begins right is wrong', BOTH, READ.slice(0, -1), 'read', 'UNAUTHENTICATED'],
  ] as const)('who has one %s', (_, options, token, need, fault) => {
    expect(faultOf(options, { need, headers: bearer(token), isLocal: false })).toBe(fault);
  });

  test.each(['Basic cmVhZA==', 'Bearer', `Bearer ${READ} more`, READ])(
    'in another form (%s) it is none',
    (authorization) => {
      expect(faultOf(BOTH, { need: 'read', headers: { authorization } })).toBe('UNAUTHENTICATED');
    },
  );
});

describe('what a page of somebody else could do', () => {
  test.each(['evil.example', 'evil.example:9680', '127.0.0.1.evil.example', '', 'a b'])(
    'under its own name (%s), made to point here, it reads nothing',
    (host) => {
      expect(faultOf(NONE, { need: 'read', headers: { host } })).toBe('WRONG_HOST');
    },
  );

  test.each(['localhost', 'LOCALHOST:9680', 'gw.localhost', '127.0.0.1', '[::1]:9680', '10.0.0.7'])(
    'an address, or localhost (%s), is ours',
    (host) => {
      expect(faultOf(NONE, { need: 'read', headers: { host } })).toBeUndefined();
    },
  );

  test('a name in http.hosts is ours', () => {
    const named = { ...NONE, hosts: ['Gateway-7.example.com'] };
    const headers = { host: 'gateway-7.example.com:9680' };
    expect(faultOf(named, { need: 'read', headers })).toBeUndefined();
    expect(faultOf(NONE, { need: 'read', headers })).toBe('WRONG_HOST');
  });

  test('who has a token knows whom he asks', () => {
    const headers = { ...bearer(READ), host: 'gateway-7.example.com' };
    expect(faultOf(BOTH, { need: 'read', headers })).toBeUndefined();
  });

  test.each(['cross-site', 'same-site'])('what a browser says is %s is refused', (site) => {
    const headers = { ...bearer(ADMIN), 'sec-fetch-site': site };
    for (const need of ['read', 'admin'] as const) {
      expect(faultOf(BOTH, { need, headers })).toBe('CROSS_SITE');
    }
    expect(faultOf(BOTH, { need: 'nothing', headers })).toBeUndefined();
  });

  test('a command of another origin is refused, our own page’s is not', () => {
    const command = { need: 'admin', method: 'POST' } as const;
    const from = (origin: string): IncomingHttpHeaders => ({ ...bearer(ADMIN), origin });
    expect(faultOf(BOTH, { ...command, headers: from('http://127.0.0.1:9680') })).toBeUndefined();
    for (const origin of ['http://evil.example', 'null', 'http://127.0.0.1:8080']) {
      expect(faultOf(BOTH, { ...command, headers: from(origin) })).toBe('CROSS_SITE');
    }
  });
});

test('a refusal says what to do', () => {
  const said = (options: HttpAccessOptions, need: Need): string => {
    try {
      const request = { method: 'GET', headers: { host: 'localhost' } };
      new HttpAccess(options).check(need, request, { isLocal: true });
      return '';
    } catch (error) {
      return String(error);
    }
  };
  expect(said(NONE, 'admin')).toContain('http.adminToken');
  expect(said(READERS, 'read')).toContain('http.token');
});
