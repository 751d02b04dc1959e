/** What a record says of one row of the store: which state a change found there, and which it left. */
export interface Witness {
  readonly table: string;
  /** The values of its primary key but for the pool, as a JSON array. */
  readonly row: string;
  /** Grows with each change of the row. */
  readonly revision: number;
  /** Digest of the state before (see sql/0070_witness.sql), base64url; absent where there was no such row. */
  readonly before?: string;
  /** Digest of the state after; absent where there is no such row any more. */
  readonly after?: string;
  /**
   * The record tells of no change, but of a state that was found: of rows from before there were witnesses, or of rows
   * whose witnesses are about to be taken away for their age.
   */
  readonly found?: 'upgrade' | 'retention';
}
