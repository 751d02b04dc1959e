import { describe, expect, test } from '@jest/globals';
import { parseRoleDefinition } from '../../../src/core/access/role-definition.ts';
import { confusionOf, roleKey } from '../../../src/core/access/role-name.ts';

const BUILT_IN = 'Managed HSM Crypto Auditor';

describe('a name is the same as another', () => {
  test.each([
    ['in another case', 'managed hsm CRYPTO auditor'],
    ['with blanks around it', '\u00a0Managed HSM Crypto Auditor\t'],
    ['with several blanks between words', 'Managed  HSM \u3000Crypto\u0085Auditor'],
    ['with characters that nobody sees', 'Man\u200baged\u00ad H\u2060SM Crypto Auditor\ufeff'],
    ['in full-width letters', 'Ｍａｎａｇｅｄ ＨＳＭ Ｃｒｙｐｔｏ Ａｕｄｉｔｏｒ'],
    ['in mathematical letters', '𝐌𝐚𝐧𝐚𝐠𝐞𝐝 HSM Crypto Auditor'],
    ['with the Turkish i', 'Managed HSM Crypto Aud\u0130tor'],
  ])('%s', (_, name) => {
    expect(roleKey(name)).toBe(roleKey(BUILT_IN));
  });

  test.each(['Managed HSM Crypto Auditors', 'ManagedHSM Crypto Auditor', 'Äuditor', 'Auditor'])(
    'and %s is another',
    (name) => {
      expect(roleKey(name)).not.toBe(roleKey(BUILT_IN));
    },
  );
});

describe('a name that could pass for another is refused:', () => {
  test.each([
    ['a Cyrillic а', 'M\u0430naged HSM Crypto Auditor'],
    ['a Greek ο', 'Managed HSM Crypt\u03bf Auditor'],
    ['an Armenian օ', 'Managed HSM Crypt\u0585 Auditor'],
    ['a Cyrillic letter behind one that nobody sees', 'M\u200b\u0430naged HSM Crypto Auditor'],
    ['a Cyrillic letter with an accent', 'M\u0430\u0301naged'],
    ['a word of Cyrillic letters', 'Managed \u041d\u0405\u041c Crypto Auditor'],
    ['a word of Greek letters', '\u0391 Managed HSM'],
    ['a word of Cherokee letters', 'Managed \u13bb\u13da\u13b7 Crypto Auditor'],
    ['Cyrillic and Greek in one word', '\u0430\u03b2'],
  ])('%s', (_, roleName) => {
    expect(() => parseRoleDefinition('00000000-0000-4000-8000-000000000001', { roleName })).toThrow(
      expect.objectContaining({
        code: 'BadParameter',
        message: expect.stringMatching(
          /^Property roleName has an invalid value: .* could pass for/,
        ),
      }),
    );
  });
});

test.each([
  '',
  'Schlüsselverwalter für Zürich (2026)',
  'Администратор HSM',
  'HSM вектор',
  'Διαχειριστής HSM',
  'НОС',
  'HSM管理者キー',
  '키관리자 HSM',
  'מנהל HSM',
  'مدير المفاتيح',
  'हिन्दी कुंजी',
  'key-μέτρηση',
  'Łódź ß ı',
])('%s is a name like any other', (name) => {
  expect(confusionOf(name)).toBeUndefined();
});
