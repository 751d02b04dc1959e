export interface LoadRequest {
  readonly method: 'GET' | 'POST';
  /** `{}` in it becomes a number that never comes again. */
  readonly path: string;
  /** JSON. */
  readonly body?: string;
  /** The one answer that is right, where there is one. */
  readonly expected?: string;
}

/** What is to be asked of a listener on this machine. */
export interface LoadPlan {
  readonly port: number;
  readonly requests: readonly LoadRequest[];
  /** How requests are taken from the list. */
  readonly pick: 'uniform' | 'zipf';
  /** Of the principals that ask, each as often as the others. */
  readonly tokens: readonly string[];
}
