import { AES_SIZES, type Algorithm, findAlgorithm } from '../../src/core/operations/algorithms.ts';
import { understandSignatures } from './signature-vectors.ts';
import type { VectorFile, VectorGroup } from './vectors.ts';

type Reader = (file: Pick<VectorFile, 'algorithm'>, group: VectorGroup) => readonly string[];

const verified: Reader = (_file, group) => {
  const algorithm = understandSignatures(group)?.algorithm;
  return algorithm === undefined ? [] : [algorithm];
};

/** By the type of a group. */
const READERS: Readonly<Record<string, Reader>> = {
  RsaesPkcs1Decrypt: () => ['RSA1_5'],
  RsaesOaepDecrypt: (_file, { sha, mgfSha }) => {
    if (sha !== mgfSha) return [];
    return [{ 'SHA-1': 'RSA-OAEP', 'SHA-256': 'RSA-OAEP-256' }[String(sha)] ?? ''];
  },
  AeadTest: ({ algorithm }, { ivSize, tagSize, keySize }) =>
    algorithm === 'AES-GCM' && ivSize === 96 && tagSize === 128 ? [`A${String(keySize)}GCM`] : [],
  // The same bytes without the padding taken off are what the algorithm without padding gives.
  IndCpaTest: ({ algorithm }, { keySize }) =>
    algorithm === 'AES-CBC-PKCS5' ? [`A${String(keySize)}CBCPAD`, `A${String(keySize)}CBC`] : [],
  KeywrapTest: ({ algorithm }, { keySize }) => {
    if (algorithm === 'AES-KWP') return ['CKM_AES_KEY_WRAP_PAD'];
    return algorithm === 'AES-WRAP' ? ['CKM_AES_KEY_WRAP', `A${String(keySize)}KW`] : [];
  },
  /** Of whole MACs, with keys that the service keeps. */
  MacTest: ({ algorithm }, { keySize, tagSize }) => {
    const isOurs = AES_SIZES.some((bits) => bits === keySize);
    const bits = /^HMACSHA(\d+)$/.exec(algorithm)?.[1];
    return isOurs && String(tagSize) === bits ? [`HS${bits}`] : [];
  },
  // RSNULL takes what the others make of a digest (RFC 8017 §9.2, T).
  RsassaPkcs1Verify: (file, group) =>
    verified(file, group).flatMap((algorithm) => [algorithm, 'RSNULL']),
  RsassaPssVerify: verified,
  EcdsaP1363Verify: verified,
  MlDsaVerify: ({ algorithm }) => [algorithm],
  MlDsaSign: ({ algorithm }) => [algorithm],
};

/** Which of our algorithms a group of Wycheproof's tests; none where the service has neither that one nor its parameters. */
export function algorithmsOf(
  file: Pick<VectorFile, 'algorithm'>,
  group: VectorGroup,
): readonly Algorithm[] {
  const names = READERS[String(group['type'])]?.(file, group) ?? [];
  return names.flatMap((name) => findAlgorithm(name)?.name ?? []);
}
