/** A value that global-setup.ts left in the environment. */
export function fromGlobalSetup(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is missing: has jest's globalSetup run?`);
  return value;
}
