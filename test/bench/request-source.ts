import type { LoadPlan, LoadRequest } from './load-plan.ts';
import { pickerOf } from './picker.ts';

/** A request with all that is sent of it but its length. */
export interface OutgoingRequest extends Omit<LoadRequest, 'expected'> {
  readonly headers: Record<string, string>;
}

let numbered = 0;

/** Gives the next request of a plan, each time, with a token of one of its principals. */
export function requestSource(plan: LoadPlan): () => OutgoingRequest {
  const pickRequest = pickerOf(plan.requests.length, plan.pick);
  const pickToken = pickerOf(plan.tokens.length, 'uniform');
  return () => {
    const { method, path, body } = plan.requests[pickRequest()] ?? { method: 'GET', path: '/' };
    numbered += 1;
    return {
      method,
      path: path.replace('{}', `${process.pid}-${numbered}`),
      headers: {
        Authorization: `Bearer ${plan.tokens[pickToken()] ?? ''}`,
        ...(body !== undefined && { 'Content-Type': 'application/json' }),
      },
      ...(body !== undefined && { body }),
    };
  };
}
