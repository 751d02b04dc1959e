/** Of Azure's clouds: public (with the DNS zones of accounts that are in one), China's and the US government's. */
const AZURE = [
  '*.blob.core.windows.net',
  '*.blob.storage.azure.net',
  '*.blob.core.chinacloudapi.cn',
  '*.blob.core.usgovcloudapi.net',
];

const LABELS = /^[^.]+(?:\.[^.]+)*$/;

/** How a host may be asked. */
interface HostRule {
  readonly onlyPublic: boolean;
}

/**
 * Whether callers may name a URL's host, and at which addresses it may be.
 * @param allowed hosts (`account.blob.example.net`, with a port where it isn't the scheme's own, `http://` before it where
 * it is asked without TLS), which may be at private addresses; or `*.` and a domain, for all public ones below it.
 * Azure's own where absent
 */
export function ruleOf(url: URL, allowed: readonly string[] = AZURE): HostRule | undefined {
  const isPlain = url.protocol === 'http:';
  if (!isPlain && url.protocol !== 'https:') return undefined;
  if (allowed.includes(`${isPlain ? 'http://' : ''}${url.host}`)) return { onlyPublic: false };
  const isBelow = (pattern: string) =>
    pattern.startsWith('*.') &&
    url.host.endsWith(pattern.slice(1)) &&
    LABELS.test(url.host.slice(0, 1 - pattern.length));
  return !isPlain && allowed.some(isBelow) ? { onlyPublic: true } : undefined;
}

/** Whether a setting says a host so that `ruleOf` understands it. */
export function isHostPattern(text: string): boolean {
  if (text.startsWith('*.')) return text.slice(2) === hostOf(`https://${text.slice(2)}`);
  const isPlain = text.startsWith('http://');
  return text.replace(/^http:\/\//, '') === hostOf(isPlain ? text : `https://${text}`);
}

function hostOf(url: string): string | undefined {
  return URL.canParse(url) ? new URL(url).host : undefined;
}
