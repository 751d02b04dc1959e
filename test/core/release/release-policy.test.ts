import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { ServiceError } from '../../../src/core/errors.ts';
import {
  authoritiesOf,
  changeReleasePolicy,
  isReleaseAllowed,
  isSameAuthority,
  parseReleasePolicy,
  releasePolicyOf,
} from '../../../src/core/release/release-policy.ts';

const AUTHORITY = 'https://attest.example';

function parse(policy: unknown) {
  return parseReleasePolicy({ data: Buffer.from(JSON.stringify(policy)) });
}

function withRule(rule: object) {
  return { version: '1.0.0', anyOf: [{ authority: AUTHORITY, ...rule }] };
}

function withCondition(condition: unknown) {
  return withRule({ allOf: [condition] });
}

const claim = (name: string, equals: unknown = true) => ({ claim: name, equals });

function nested(depth: number): object {
  return depth === 0 ? claim('c') : { anyOf: [nested(depth - 1)] };
}

describe('a release policy', () => {
  test.each(['1.0', '1.0.0'])('of version %s is kept as 1.0.0, in one spelling', (version) => {
    const { data, contentType, immutable } = parse({
      version,
      anyOf: [{ anyOf: [{ equals: 'b', claim: 'a' }], authority: AUTHORITY }],
    });
    expect(data).toBe(
      `{"anyOf":[{"anyOf":[{"claim":"a","equals":"b"}],"authority":"${AUTHORITY}"}],"version":"1.0.0"}`,
    );
    expect([contentType, immutable]).toEqual(['application/json; charset=utf-8', false]);
  });

  test.each<[string, unknown, string]>([
    ['is no object', [], 'the policy must be an object'],
    ['is null', null, 'the policy must be an object'],
    ['has no version', { anyOf: [] }, "missing 'version' property"],
    ['has another version', { version: '0.2', anyOf: [] }, "'version' must be 1.0.0"],
    ['has a version that is no text', { version: 1, anyOf: [] }, "'version' must be 1.0.0"],
    ['names no authority', { version: '1.0.0', anyOf: [] }, "'anyOf' must be a list of 1 to 20"],
    ['has no anyOf', { version: '1.0.0' }, "'anyOf' must be a list of 1 to 20"],
    [
      'has more at the top',
      { ...withCondition(claim('c')), allOf: [] },
      'the policy may hold nothing but anyOf and version',
    ],
    [
      'has an authority over http',
      withRule({ authority: 'http://attest.example', allOf: [claim('c')] }),
      "'authority' must be an https URL",
    ],
    [
      'has an authority with a user',
      withRule({ authority: 'https://a@attest.example', allOf: [claim('c')] }),
      "'authority' must be an https URL",
    ],
    [
      'has an authority with a query',
      withRule({ authority: 'https://attest.example/?', allOf: [claim('c')] }),
      "'authority' must be an https URL",
    ],
    ['has a rule without conditions', withRule({}), "an authority must have 'allOf' or 'anyOf'"],
    [
      'has a rule with both',
      withRule({ allOf: [claim('c')], anyOf: [claim('c')] }),
      "what has 'allOf' may hold nothing but allOf",
    ],
    ['has an empty allOf, which would always hold', withRule({ allOf: [] }), "'allOf' must be"],
    [
      'has an operator that is only reserved',
      withCondition({ claim: 'c', notEquals: 1 }),
      'a condition may hold nothing but claim and equals',
    ],
    [
      'has an operator beside equals',
      withCondition({ ...claim('c'), exists: false }),
      'a condition may hold nothing but claim and equals',
    ],
    ['has a condition that is no object', withCondition('c'), 'a condition must be an object'],
    ['has a condition without a claim', withCondition({ equals: 1 }), "'claim' must name a claim"],
    ['has a claim with an empty part', withCondition(claim('a..b')), "'claim' must name a claim"],
    ['has a condition without a value', withCondition({ claim: 'c' }), "'equals' must be"],
    ['asks for null', withCondition(claim('c', null)), "'equals' must be"],
    ['asks for an object', withCondition(claim('c', {})), "'equals' must be"],
    ['asks for a number beyond 2^53', withCondition(claim('c', 2 ** 53)), "'equals' must be"],
    ['asks for a long text', withCondition(claim('c', 'x'.repeat(1025))), "'equals' must be"],
    ['is too deep', withCondition(nested(8)), 'conditions must be at most 8 deep'],
    [
      'has too many conditions',
      withRule({ anyOf: [1, 2, 3].map(() => ({ anyOf: Array(70).fill(claim('c')) })) }),
      'a policy must have at most 200 conditions',
    ],
    [
      'has too many authorities',
      { version: '1.0.0', anyOf: Array(21).fill({ authority: AUTHORITY, allOf: [claim('c')] }) },
      "'anyOf' must be a list of 1 to 20",
    ],
  ])('is refused where it %s', (_what, policy, message) => {
    expect(() => parse(policy)).toThrow(ServiceError);
    expect(() => parse(policy)).toThrow(`Key Release Policy: ${message}`);
  });

  test('is refused where it is large, no JSON, no UTF-8 or of another type', () => {
    const refused = (data: Buffer, contentType?: string) => () =>
      parseReleasePolicy({ data, contentType });
    expect(refused(Buffer.alloc(16_385, ' '))).toThrow('at most 16384 bytes');
    expect(refused(Buffer.from('{'))).toThrow('is not JSON');
    expect(refused(Buffer.from([0x22, 0xff, 0x22]))).toThrow('is not JSON');
    expect(refused(Buffer.from('{}'), 'text/plain')).toThrow("'contentType' must be");
  });

  test('may nest as deep as is allowed', () => {
    expect(isReleaseAllowed(parse(withCondition(nested(6))), AUTHORITY, { c: true })).toBe(true);
  });

  test('that is deeply nested beyond that costs no stack', () => {
    const data = Buffer.from(`${'['.repeat(8_000)}${']'.repeat(8_000)}`);
    expect(() => parseReleasePolicy({ data })).toThrow(ServiceError);
  });
});

describe('a condition', () => {
  test.each<[boolean, unknown, unknown]>([
    [true, 'text', 'text'],
    [false, 'text', 'Text'],
    [false, 'text', undefined],
    [true, 7, 7],
    [false, 7, 8],
    [false, 7, '7'],
    [false, '7', 7],
    [true, 1.5, 1.5],
    [true, true, true],
    [false, true, false],
    [true, false, false],
    [false, false, undefined],
    [false, false, null],
    [false, false, 0],
    [true, 'true', true],
    [true, 'false', false],
    [false, 'true', false],
    [false, 'True', true],
    [false, true, 'true'],
    [false, 'null', null],
    [false, '', []],
    [false, 2 ** 53 - 1, 2 ** 53],
  ])('is met: %s, where it asks for %j and the claim is %j', (isMet, equals, value) => {
    const policy = parse(withCondition(claim('c', equals)));
    expect(isReleaseAllowed(policy, AUTHORITY, { c: value })).toBe(isMet);
  });

  test.each<[boolean, string, Record<string, unknown>]>([
    [true, 'a.b.c', { a: { b: { c: true } } }],
    [false, 'a.b.c', { a: { b: true } }],
    [false, 'a.b.c', { 'a.b.c': true }],
    [false, 'a.0', { a: [true] }],
    [false, 'a.length', { a: 'x' }],
    [false, 'constructor', {}],
    [false, '__proto__.x', {}],
    [false, 'toString.name', {}],
  ])('is met: %s, where it names %s in %j', (isMet, name, claims) => {
    const policy = parse(withCondition(claim(name, true)));
    expect(isReleaseAllowed(policy, AUTHORITY, claims)).toBe(isMet);
  });

  test('__proto__ as a token may spell it is a claim like any other, and no way up', () => {
    const policy = parse(withCondition(claim('polluted', true)));
    const claims = JSON.parse('{"__proto__":{"polluted":true}}') as Record<string, unknown>;
    expect(isReleaseAllowed(policy, AUTHORITY, claims)).toBe(false);
  });

  test.each<[boolean, object, Record<string, unknown>]>([
    [true, { allOf: [claim('a'), claim('b')] }, { a: true, b: true }],
    [false, { allOf: [claim('a'), claim('b')] }, { a: true }],
    [true, { anyOf: [claim('a'), claim('b')] }, { b: true }],
    [false, { anyOf: [claim('a'), claim('b')] }, {}],
    [true, { allOf: [claim('a'), { anyOf: [claim('b'), claim('c')] }] }, { a: true, c: true }],
    [false, { allOf: [claim('a'), { anyOf: [claim('b'), claim('c')] }] }, { b: true, c: true }],
    [true, { anyOf: [{ allOf: [claim('a'), claim('b')] }, claim('c')] }, { c: true }],
  ])('is met: %s, in %j with %j', (isMet, rule, claims) => {
    expect(isReleaseAllowed(parse(withRule(rule)), AUTHORITY, claims)).toBe(isMet);
  });

  test('counts for the authority that it stands with, and for no other', () => {
    const policy = parse({
      version: '1.0.0',
      anyOf: [
        { authority: 'https://one.example', allOf: [claim('a')] },
        { authority: 'https://two.example/', allOf: [claim('b')] },
      ],
    });
    expect(authoritiesOf(policy)).toEqual(['https://one.example', 'https://two.example/']);
    expect(isReleaseAllowed(policy, 'https://one.example/', { a: true })).toBe(true);
    expect(isReleaseAllowed(policy, 'https://two.example', { b: true })).toBe(true);
    expect(isReleaseAllowed(policy, 'https://two.example', { a: true })).toBe(false);
    expect(isReleaseAllowed(policy, 'https://three.example', { a: true, b: true })).toBe(false);
  });

  test.each([
    [true, 'https://A.example', 'https://a.example/'],
    [true, 'https://a.example:443/x', 'https://a.example/x/'],
    [false, 'https://a.example/x', 'https://a.example/X'],
    [false, 'https://a.example', 'https://a.example.evil'],
    [false, 'https://a.example', 'http://a.example'],
    [false, 'no URL', 'no URL'],
  ])('is the same authority: %s, for %s and %s', (isSame, a, b) => {
    expect(isSameAuthority(a, b)).toBe(isSame);
  });
});

describe('a key’s policy', () => {
  const requested = (immutable?: boolean, name = 'c') => ({
    data: Buffer.from(JSON.stringify(withCondition(claim(name)))),
    immutable,
  });

  test('is there where the key is exportable, and not where it is not', () => {
    expect(releasePolicyOf(false, undefined, undefined)).toBeUndefined();
    expect(releasePolicyOf(true, requested(), undefined)).toMatchObject({ immutable: false });
    expect(() => releasePolicyOf(true, undefined, undefined)).toThrow(
      'Exportable keys must have release policy',
    );
    expect(() => releasePolicyOf(false, requested(), undefined)).toThrow(
      'Only exportable keys can have a release policy',
    );
    expect(() => changeReleasePolicy(undefined, requested(), undefined)).toThrow(
      'Only exportable keys can have a release policy',
    );
  });

  test('names authorities that the pool trusts, where it says which', () => {
    expect(releasePolicyOf(true, requested(), [`${AUTHORITY}/`])).toBeDefined();
    expect(() => releasePolicyOf(true, requested(), ['https://other.example'])).toThrow(
      'not among those that this pool trusts',
    );
    const current = parse(withCondition(claim('c')));
    expect(() => changeReleasePolicy(current, requested(false, 'd'), [])).toThrow(
      'not among those that this pool trusts',
    );
  });

  test('becomes immutable, and stays so where a change does not say', () => {
    const mutable = parse(withCondition(claim('c')));
    const fixed = changeReleasePolicy(mutable, requested(true), undefined);
    expect(fixed.immutable).toBe(true);
    expect(changeReleasePolicy(fixed, requested(), undefined)).toBe(fixed);
    expect(changeReleasePolicy(fixed, requested(true), undefined)).toBe(fixed);
    expect(() => changeReleasePolicy(fixed, requested(false), undefined)).toThrow('immutable');
    expect(() => changeReleasePolicy(fixed, requested(true, 'd'), undefined)).toThrow('immutable');
  });
});

describe('for every policy', () => {
  const name = fc.stringMatching(/^[a-z_-]{1,8}(\.[a-z]{1,4}){0,2}$/);
  const value = fc.oneof(fc.string(), fc.boolean(), fc.integer());
  const { condition } = fc.letrec((tie) => ({
    condition: fc.oneof(
      { depthSize: 'small', maxDepth: 4 },
      fc.record({ claim: name, equals: value }),
      fc.record({ allOf: fc.array(tie('condition'), { minLength: 1, maxLength: 3 }) }),
      fc.record({ anyOf: fc.array(tie('condition'), { minLength: 1, maxLength: 3 }) }),
    ),
  }));

  test('its kept spelling is a policy of the same spelling', () => {
    fc.assert(
      fc.property(condition, (generated) => {
        const { data } = parse(withCondition(generated));
        expect(parseReleasePolicy({ data: Buffer.from(data) }).data).toBe(data);
      }),
    );
  });

  test('an environment without claims meets none', () => {
    fc.assert(
      fc.property(condition, (generated) => {
        expect(isReleaseAllowed(parse(withCondition(generated)), AUTHORITY, {})).toBe(false);
      }),
    );
  });

  test('any JSON at all is a policy or a BadParameter', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 6 }), (text) => {
        expect(['a policy', 'BadParameter']).toContain(outcomeOf(text));
      }),
    );
  });
});

function outcomeOf(text: string): string {
  try {
    parseReleasePolicy({ data: Buffer.from(text) });
    return 'a policy';
  } catch (error) {
    return error instanceof ServiceError ? error.code : 'another error';
  }
}
