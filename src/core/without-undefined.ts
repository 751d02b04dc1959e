/** The same members, of which those that may be undefined are optional instead. */
export type WithoutUndefined<Members> = {
  [Name in keyof Members as undefined extends Members[Name] ? never : Name]: Members[Name];
} & {
  [Name in keyof Members as undefined extends Members[Name] ? Name : never]?: Exclude<
    Members[Name],
    undefined
  >;
};

/** A copy in which members that are undefined are absent: exactOptionalPropertyTypes tells the two apart. */
export function withoutUndefined<Members extends object>(
  members: Members,
): WithoutUndefined<Members> {
  const present = Object.entries(members).filter(([, value]) => value !== undefined);
  return Object.fromEntries(present) as WithoutUndefined<Members>;
}
