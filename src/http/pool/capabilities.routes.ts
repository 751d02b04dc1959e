import { action } from '../../core/access/actions.ts';
import type { HsmFeatures, HsmOffer } from '../../core/keys/hsm.ts';
import { whyNotLeaving } from '../../core/keys/key-keeping.ts';
import { NO_ML_DSA } from '../../core/keys/key-spec.ts';
import { route } from '../route.ts';
import type { Routes } from '../routes.ts';

/** What keys there can be in this pool and what they can do: its HSM decides. */
export function addCapabilityRoutes(routes: Routes, hsm: HsmFeatures): void {
  route(routes, {
    method: 'get',
    path: '/capabilities',
    operation: 'CapabilitiesGet',
    keyMaterial: 'none',
    action: action('keys/read/action'),
    beforeActivation: true,
    scope: () => '/' as const,
    key: null,
    params: () => ({}),
    handler: async () => {
      const offer = await hsm.offer();
      return {
        module: offer.module,
        keeping: hsm.keeping,
        ...(offer.objects !== undefined && { objects: offer.objects }),
        keys: offer.keys.map(serializeKind),
        algorithms: offer.algorithms.map(({ name, lack, except }) => ({
          name,
          ...availability(lack),
          ...(except !== undefined && { except: except.map(serializeKind) }),
        })),
        mlDsa: serializeMlDsa(offer, hsm),
        backup: unavailable(whyNotLeaving(hsm, 'backup')),
        release: serializeRelease(offer, hsm),
        transfer: offer.transfers.map(({ keyType, lack }) => ({
          kty: keyType,
          ...availability(lack),
        })),
      };
    },
  });
}

function serializeKind(kind: HsmOffer['keys'][number]) {
  const { keyType: kty, lack } = kind;
  switch (kind.keyType) {
    case 'EC-HSM':
      return { kty, crv: kind.curve, ...availability(lack) };
    case 'AKP-HSM':
      return { kty, alg: kind.parameterSet, ...availability(lack) };
    case 'RSA-HSM':
    case 'oct-HSM':
      return { kty, key_size: kind.bits, ...availability(lack) };
  }
}

/** Whether there can be such keys at all, and what they are asked for beyond a signature of a message. */
function serializeMlDsa({ keys, externalMu }: HsmOffer, { hasMlDsa }: HsmFeatures) {
  if (!hasMlDsa) return { available: false, reason: `${NO_ML_DSA}.` };
  const lacks = keys.filter(({ keyType }) => keyType === 'AKP-HSM').map(({ lack }) => lack);
  return lacks.includes(undefined)
    ? { available: true, external_mu: availability(externalMu.lack) }
    : availability(lacks[0]);
}

/** There is one where a kind of key can be wrapped in one of the ways (enc). */
function serializeRelease({ release }: HsmOffer, hsm: HsmFeatures) {
  if (release === undefined) return unavailable(whyNotLeaving(hsm, 'release'));
  const { keys, wraps } = release;
  const lacks = [keys, wraps].map((all) => all.map(({ lack }) => lack));
  const [whole] = lacks.filter((all) => !all.includes(undefined));
  return {
    ...availability(whole?.[0]),
    keys: keys.map(serializeKind),
    enc: wraps.map(({ name, lack }) => ({ name, ...availability(lack) })),
  };
}

function unavailable(reason: string | undefined) {
  return reason === undefined ? { available: true } : { available: false, reason };
}

function availability(lack: string | undefined) {
  if (lack === undefined) return { available: true };
  return { available: false, reason: `The HSM of this pool fails at ${lack}.` };
}
