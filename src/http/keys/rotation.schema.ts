import { z } from 'zod';
import type { RotationPolicy } from '../../core/keys/rotation/rotation.ts';
import { optional } from '../values/optional.ts';
import { text } from '../values/text.ts';

const duration = optional(text(32));

/** KeyRotationPolicy. */
export const RotationPolicyRequest = z
  .object({
    lifetimeActions: optional(
      z
        .array(
          z.object({
            trigger: z.object({ timeAfterCreate: duration, timeBeforeExpiry: duration }),
            action: z.object({ type: text(16) }),
          }),
        )
        .max(2),
    ),
    attributes: optional(z.object({ expiryTime: duration })),
  })
  .transform(({ lifetimeActions, attributes }) => ({
    actions: (lifetimeActions ?? []).map(({ trigger, action }) => ({
      type: action.type,
      ...trigger,
    })),
    expiryTime: attributes?.expiryTime,
  }));

/** A key without a policy has a blank one. */
export function serializeRotationPolicy(id: string, policy: RotationPolicy | undefined) {
  return {
    attributes: policy === undefined ? {} : serializeAttributes(policy),
    id,
    lifetimeActions: (policy?.actions ?? []).map(({ type, trigger, time }) => ({
      action: { type },
      trigger: { [trigger]: time },
    })),
  };
}

function serializeAttributes({ created, expiryTime, updated }: RotationPolicy) {
  return { created, expiryTime, updated };
}
