import { action } from '../../core/access/actions.ts';
import type { HsmFeatures, HsmOffer } from '../../core/keys/hsm.ts';
import { whyNoMlDsa } from '../../core/keys/key-spec.ts';
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
        mlDsa: { available: false, reason: `${whyNoMlDsa(hsm)}.` },
      };
    },
  });
}

function serializeKind(kind: HsmOffer['keys'][number]) {
  const { keyType: kty, lack } = kind;
  return kind.keyType === 'EC-HSM'
    ? { kty, crv: kind.curve, ...availability(lack) }
    : { kty, key_size: kind.bits, ...availability(lack) };
}

function availability(lack: string | undefined) {
  if (lack === undefined) return { available: true };
  return { available: false, reason: `The HSM of this pool fails at ${lack}.` };
}
