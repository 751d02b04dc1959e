/** Also NEXT LINE, and the Braille pattern without a dot. */
const BLANKS = /[\s\u0085\u2800]+/gu;
const UNSEEN = /[\p{Default_Ignorable_Code_Point}\p{Cc}\p{Cf}\p{Cn}]/gu;
const WORD = /[\p{L}\p{M}\p{N}]+/gu;

/** Letters of those that one word may have beside each other, Latin among them, aren't counted (UTS #39 §5.2). */
const SCRIPTS: readonly (readonly [name: string, letters: RegExp])[] = [
  ['Latin', /\p{sc=Latin}/u],
  ['Cyrillic', /\p{sc=Cyrillic}/u],
  ['Greek', /\p{sc=Greek}/u],
  [
    'another script',
    /(?![\p{sc=Latin}\p{sc=Cyrillic}\p{sc=Greek}\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}\p{sc=Bopomofo}\p{sc=Common}\p{sc=Inherited}])\p{L}/u,
  ],
];

/** A word of these alone can pass for a Latin one, as Cyrillic НЅМ does for HSM. */
const LOOKS_LATIN =
  /^[АВЕЅІЈКМНОРСТУХԚԜӀаеѕіјорсухԛԝһԁӏΑΒΕΖΗΙΚΜΝΟΡΤΥΧαγικνορυχ\p{sc=Cherokee}\p{sc=Coptic}\p{sc=Lisu}\p{M}\p{N}]+$/u;

/**
 * What names of roles are compared by, since people and tools name roles by them: without regard to case (also that of
 * the Turkish i, with its dot or without), to width and other compatible forms (Unicode NFKC), to blanks around and
 * between words, and to characters that nobody sees: controls, formats and such as no character has been assigned to.
 */
export function roleKey(name: string): string {
  return seen(name).toUpperCase().toLowerCase().replaceAll('i\u0307', 'i');
}

/**
 * Why a name could be read as one that it isn't: undefined where it can't, as far as its letters' scripts tell. Each word
 * has letters of one script; beside Latin words stands none whose letters all have the shape of Latin ones.
 */
export function confusionOf(name: string): string | undefined {
  const words = (seen(name).match(WORD) ?? []).map((word) => ({ word, scripts: scriptsOf(word) }));
  const mixed = words.find(({ scripts }) => scripts.length > 1);
  if (mixed !== undefined) return `one word has letters of ${mixed.scripts.join(' and ')}`;
  const isLatin = words.some(({ scripts }) => scripts.includes('Latin'));
  const lookAlike = words.find(
    ({ word, scripts }) =>
      scripts.length > 0 && !scripts.includes('Latin') && LOOKS_LATIN.test(word),
  );
  if (!isLatin || lookAlike === undefined) return undefined;
  return 'beside Latin words it has one whose letters look like Latin ones and are none';
}

function seen(name: string): string {
  return name
    .normalize('NFKC')
    .replaceAll(BLANKS, ' ')
    .replaceAll(UNSEEN, '')
    .replaceAll(/ +/g, ' ')
    .trim();
}

function scriptsOf(word: string): readonly string[] {
  return SCRIPTS.filter(([, letters]) => letters.test(word)).map(([script]) => script);
}
