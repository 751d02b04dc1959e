import { grantControlRole, makeSubscription } from '../../compose/control-access.ts';
import { createLog } from '../../observability/log.ts';
import type { CliContext } from '../cli-context.ts';
import { openStoreOf } from '../open-pool.ts';

export interface GrantOptions {
  readonly role: string;
  readonly scope: string;
  readonly json?: boolean;
}

/** `strongroom resources grant` @throws OperatorError */
export async function grant(
  context: CliContext,
  principalId: string,
  { role, scope, json }: GrantOptions,
): Promise<void> {
  const store = await openStoreOf(context, createLog('warn'));
  try {
    const granted = await grantControlRole(store.context, { principalId, role, scope });
    if (json === true) {
      context.print(JSON.stringify(granted, null, 2));
      return;
    }
    context.print(
      `${granted.assignment.principalId} holds ${role} at ${granted.assignment.scope}.`,
    );
    for (const { id, displayName } of granted.subscriptions)
      context.print(`Subscription ${displayName}: ${id}`);
  } finally {
    await store.close();
  }
}

/** `strongroom resources subscribe` */
export async function subscribe(context: CliContext, name: string): Promise<void> {
  const store = await openStoreOf(context, createLog('warn'));
  try {
    const { id } = await makeSubscription(store.context, name);
    context.print(`Subscription ${name}: ${id}`);
  } finally {
    await store.close();
  }
}
