import ipaddr from 'ipaddr.js';
import type { NetworkRules } from '../core/pool/network-rules.ts';

/** An address, or a range in CIDR notation. */
export function isAddressRange(text: string): boolean {
  return text.includes('/') ? ipaddr.isValidCIDR(text) : ipaddr.isValid(text);
}

/** Whether an address, as a socket gives it, is let in; undefined where every one is. */
export function admitting(
  rules: NetworkRules | null | undefined,
): ((address: string) => boolean) | undefined {
  if (rules === null || rules === undefined) return undefined;
  if (!rules.publicAccess) return () => false;
  if (rules.defaultAction === 'Allow') return undefined;
  const ranges = rules.ipRules.map((rule) => ipaddr.parseCIDR(withPrefix(rule)));
  return (text) => {
    if (!ipaddr.isValid(text)) return false;
    const address = ipaddr.process(text);
    return ranges.some(
      ([base, bits]) => base.kind() === address.kind() && address.match([base, bits]),
    );
  };
}

function withPrefix(rule: string): string {
  if (rule.includes('/')) return rule;
  return `${rule}/${ipaddr.parse(rule).kind() === 'ipv4' ? 32 : 128}`;
}
