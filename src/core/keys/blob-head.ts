/** What the blob of a sealed key shows of the way in which it was wrapped. */
export interface BlobHead {
  /** Of its length. */
  readonly isMultipleOf8: boolean;
  readonly firstByte: number;
}
