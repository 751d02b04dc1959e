import type { Page, PageRequest } from '../paging.ts';

/** What one principal did with one key in an hour or a day (UTC), counted. */
export interface Usage {
  readonly start: Date;
  /** Absent for what isn't about a key. */
  readonly keyName?: string;
  /** Absent for callers that nobody knows. */
  readonly principalId?: string;
  readonly operation: string;
  readonly succeeded: number;
  readonly failed: number;
  readonly lastAt: Date;
}

interface UsageFilter {
  readonly period: 'hour' | 'day';
  /** Of the period's start: included, and excluded. */
  readonly from?: Date;
  readonly to?: Date;
  readonly keyName?: string;
  readonly principalId?: string;
  readonly operation?: string;
}

interface KeyUse {
  readonly keyName: string;
  /** Absent for a key that was never used. */
  readonly lastUsedAt?: Date;
}

interface KeyExpiry {
  readonly keyName: string;
  readonly version: string;
  readonly expiresAt: Date;
}

/** How keys are used, counted from the audit log: some seconds behind it. */
export interface UsageReader {
  /** Newest period first. */
  listUsage(filter: UsageFilter, page: PageRequest): Promise<Page<Usage>>;
  /** Keys that nobody has used since, by name: encrypted, signed, wrapped or released with, in any way. */
  listUnusedKeys(since: Date, page: PageRequest): Promise<Page<KeyUse>>;
  /** Keys whose answering version expires before that time, or has expired, by name. */
  listExpiringKeys(before: Date, page: PageRequest): Promise<Page<KeyExpiry>>;
}
