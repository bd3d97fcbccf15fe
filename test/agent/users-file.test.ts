import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { makeEntry, matchesEntry, parseEntry } from '../../src/agent/password-entry.ts';
import { isUserName, parseUsers, withUser } from '../../src/agent/users-file.ts';
import { systemRandom } from '../../src/random.ts';

/** Of mosquitto_passwd 2.0, for the password s3. */
const PBKDF2 =
  '$7$101$HBllR6ti+z2Tjlyi$59QgSlK1f6L4L5fd2EGGPNvCZfSmLkYLenxUrurVqOxMycRo4GUTFmoLZD3BsQgn9HEP3LCRZLi6hsm41UdLxA==';
const SALT = Buffer.from('0123456789ab');
const SHA512 = `$6$${SALT.toString('base64')}$${createHash('sha512').update('s3').update(SALT).digest('base64')}`;

describe('entries', () => {
  test.each([
    ['of Mosquitto 2.0', () => PBKDF2],
    ['of Mosquitto before', () => SHA512],
    ['of our own', () => makeEntry(Buffer.from('s3'), systemRandom)],
  ])('%s: the right password and no other', async (_, make) => {
    const entry = parseEntry(await make());
    if (entry === undefined) throw new Error('it is an entry');
    expect(await matchesEntry(entry, Buffer.from('s3'))).toBe(true);
    for (const wrong of ['', 's', 's33', 'S3']) {
      expect(await matchesEntry(entry, Buffer.from(wrong))).toBe(false);
    }
  });

  test('ours differ for the same password, and carry their parameters', async () => {
    const [one, other] = await Promise.all(
      ['s3', 's3'].map((text) => makeEntry(Buffer.from(text), systemRandom)),
    );
    expect(one).toMatch(/^\$scrypt\$ln=14,r=8,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/u);
    expect(one).not.toBe(other);
  });

  test.each([
    '$scrypt$ln=24,r=8,p=1$AAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAA',
    '$scrypt$ln=14,r=8,p=99$AAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAA',
    '$scrypt$ln=0,r=8,p=1$AAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAA',
    '$7$999999999$AAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAA',
    '$7$0$AAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAA',
    '$6$AAAA$AAAA',
    '$argon2id$v=19$m=65536,t=2,p=1$AAAA$AAAA',
    'plain',
    '',
  ])('%s is none, or asks for too much', (text) => {
    expect(parseEntry(text)).toBeUndefined();
  });
});

describe('the file', () => {
  const text = `# of the old broker\nmosq:${PBKDF2}\n\nold:${SHA512}\r\n`;

  test('one user a line; comments and empty lines are passed over', () => {
    expect([...parseUsers(text, 'users').keys()]).toEqual(['mosq', 'old']);
  });

  test('a change leaves everything else as it is', () => {
    expect(withUser(text, 'mosq', 'X')).toBe(`# of the old broker\nmosq:X\n\nold:${SHA512}\n`);
    expect(withUser(text, 'new', 'X')).toContain(`old:${SHA512}\nnew:X\n`);
    expect(withUser(text, 'old', undefined)).toBe(`# of the old broker\nmosq:${PBKDF2}\n\n`);
    expect(withUser('', 'new', 'X')).toBe('new:X\n');
  });

  test.each([
    ['a:planted-secret', 'users:2: the password of "a" is not hashed; '],
    ['a:$5$planted-secret', 'users:2: the password of "a" is hashed in no way that is known'],
    ['planted-secret', 'users:2: expected NAME:PASSWORD-HASH, found no such thing'],
    [' a:planted-secret', 'users:2: expected a user name without ":"'],
    [`mosq:${PBKDF2}`, 'users:2: the user "mosq" stands in a line before'],
  ])('%s is told by its line, and not shown', (line, told) => {
    const parse = (): unknown => parseUsers(`mosq:${PBKDF2}\n${line}\n`, 'users');
    expect(parse).toThrow(told);
    expect(parse).not.toThrow(/planted|59QgSlK1/u);
  });

  test.each(['', '#a', ' a', 'a:b', 'a\nb', 'a\u0000', 'ü'.repeat(128)])(
    '%j is no name',
    (name) => {
      expect(isUserName(name)).toBe(false);
    },
  );
});
