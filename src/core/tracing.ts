/** Follows requests on their way: one span a step. */
export interface Tracing {
  /**
   * The span of a whole request, which `act` and all that follows it belong to. `traceparent` is the caller's own span
   * (W3C Trace Context). It ends with `end`.
   */
  request(
    traceparent: string | undefined,
    act: (span: { end(operation: string, status: number, requestId: string): void }) => void,
  ): void;
  /** A step of the request that is being served; failed where `act` rejects. */
  step<T>(name: string, act: () => Promise<T>): Promise<T>;
  /** Sends what is left. */
  close(): Promise<void>;
}

/** Follows nothing, at no cost. */
export const NO_TRACING: Tracing = {
  request: (_traceparent, act) => {
    act({ end: () => undefined });
  },
  step: (_name, act) => act(),
  close: () => Promise.resolve(),
};
