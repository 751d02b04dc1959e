/** This module is in src, or in whatever file of dist the bundler has put it. */
const HERE = import.meta.url;
const PACKAGE = HERE.slice(0, Math.max(HERE.lastIndexOf('/src/'), HERE.lastIndexOf('/dist/')) + 1);

/**
 * A file or folder that comes with the package, beside src and dist.
 * @param path from the top of the package: `policies/model.conf`
 */
export function packageFile(path: string): URL {
  return new URL(path, PACKAGE);
}
