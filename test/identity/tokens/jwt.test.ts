import { expect, test } from '@jest/globals';
import { peek } from '../../../src/identity/tokens/jwt.ts';

const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url');
const tokenOf = (header: object, claims: object) =>
  `${encode({ alg: 'RS256', ...header })}.${encode(claims)}.AAAA`;

test.each<[string, object, object]>([
  ['issuer is a number', {}, { iss: 5 }],
  ['subject is a list', {}, { sub: ['x'] }],
  ['jti is a number', {}, { jti: 5 }],
  ['kid is a list', { kid: ['x'] }, {}],
  ['x5t is a number', { x5t: 5 }, {}],
  ['x5t#S256 is an object', { 'x5t#S256': {} }, {}],
  ['header holds half of a surrogate pair', { kid: '\ud800' }, {}],
  ['claims hold U+0000', {}, { sub: 'a\u0000' }],
  ['claims have a name that cannot be stored', {}, { 'a\udc00': 1 }],
])('a token whose %s is none', (_what, header, claims) => {
  expect(peek(tokenOf(header, claims))).toBeUndefined();
});

test('any other is read, whatever else it says', () => {
  expect(peek(tokenOf({ kid: 'k' }, { sub: '😀', other: [1, null] }))?.claims.sub).toBe('😀');
});
