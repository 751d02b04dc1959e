import { execFileSync } from 'node:child_process';

/** Machines in network namespaces of Linux: each has an address for clients, and one on the network of the database. */
export interface Machines {
  /** @param number 2 to 254, its place in both networks */
  add(name: string, number: number): Machine;
  remove(): void;
}

export interface Machine {
  /** By which `ip netns exec` finds it. */
  readonly namespace: string;
  readonly clientAddress: string;
  readonly databaseAddress: string;
  /** What it sends to the database's network is swallowed, and what comes from there; nothing is refused. */
  cutOff(): void;
  mend(): void;
}

const NETWORKS = { c: '10.209.1', d: '10.209.2' } as const;
type Network = keyof typeof NETWORKS;

const ip = (...words: readonly string[]) => execFileSync('ip', words, { stdio: 'pipe' });

/** Whether this user can have some, on this machine. */
export function canHaveMachines(): boolean {
  try {
    ip('netns', 'add', 'strongroom-try');
    ip('netns', 'delete', 'strongroom-try');
    return true;
  } catch {
    return false;
  }
}

export function makeMachines(): Machines {
  const id = process.pid.toString(36);
  const bridgeOf = (network: Network) => `sr${network}${id}`;
  const namespaces: string[] = [];
  for (const [network, prefix] of Object.entries(NETWORKS) as [Network, string][]) {
    ip('link', 'add', bridgeOf(network), 'type', 'bridge');
    ip('address', 'add', `${prefix}.1/24`, 'dev', bridgeOf(network));
    ip('link', 'set', bridgeOf(network), 'up');
  }

  return {
    add(name, number) {
      const namespace = `sr${id}-${name}`;
      ip('netns', 'add', namespace);
      namespaces.push(namespace);
      const inside = (...words: readonly string[]) => ip('-n', namespace, ...words);
      inside('link', 'set', 'lo', 'up');
      const outer = (network: Network) => `${network}${number}${id}`;
      for (const [network, prefix] of Object.entries(NETWORKS) as [Network, string][]) {
        const inner = `eth${network}`;
        ip(
          'link',
          'add',
          outer(network),
          'type',
          'veth',
          'peer',
          'name',
          inner,
          'netns',
          namespace,
        );
        ip('link', 'set', outer(network), 'master', bridgeOf(network), 'up');
        inside('address', 'add', `${prefix}.${number}/24`, 'dev', inner);
        inside('link', 'set', inner, 'up');
      }
      return {
        namespace,
        clientAddress: `${NETWORKS.c}.${number}`,
        databaseAddress: `${NETWORKS.d}.${number}`,
        cutOff: () => ip('link', 'set', outer('d'), 'down'),
        mend: () => ip('link', 'set', outer('d'), 'up'),
      };
    },
    remove() {
      for (const namespace of namespaces) ip('netns', 'delete', namespace);
      for (const network of Object.keys(NETWORKS) as Network[])
        ip('link', 'delete', bridgeOf(network));
    },
  };
}
