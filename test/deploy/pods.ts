/** A manifest, as far as these tests read it. */
export interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels?: Labels };
  readonly spec?: {
    readonly selector?: Labels & { readonly matchLabels?: Labels };
    readonly podSelector?: { readonly matchLabels?: Labels };
    readonly template?: { readonly metadata: { readonly labels: Labels }; readonly spec: PodSpec };
    readonly groups?: readonly { readonly rules: readonly { readonly alert: string }[] }[];
  };
  readonly data?: Readonly<Record<string, string>>;
}
type Labels = Readonly<Record<string, string>>;

interface Container {
  readonly name: string;
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  readonly securityContext?: Readonly<Record<string, unknown>>;
  readonly resources?: {
    readonly requests?: object;
    readonly limits?: { readonly memory?: string };
  };
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[];
}

export interface PodSpec {
  readonly automountServiceAccountToken?: boolean;
  readonly securityContext?: Readonly<Record<string, unknown>>;
  readonly initContainers?: readonly Container[];
  readonly containers: readonly Container[];
  readonly volumes?: readonly Readonly<Record<string, unknown>>[];
}

/** Of Kubernetes' pod security standard "restricted", the kinds of volumes that a pod may have. */
const VOLUMES = new Set([
  ...['configMap', 'csi', 'downwardAPI', 'emptyDir', 'ephemeral'],
  ...['persistentVolumeClaim', 'projected', 'secret'],
]);

/**
 * What in a pod isn't as the pod security standard "restricted" wants it, nor as this repository does: a read-only root file
 * system, a limit of memory, no token of the cluster, and volumes that are all there.
 */
export function looseEndsOf(pod: PodSpec): readonly string[] {
  const { securityContext = {}, volumes = [] } = pod;
  const containers = [...(pod.initContainers ?? []), ...pod.containers];
  const kinds = volumes.flatMap((volume) => Object.keys(volume).filter((key) => key !== 'name'));
  return [
    ...(securityContext['runAsNonRoot'] === true ? [] : ['may run as root']),
    ...(securityContext['runAsUser'] === 0 ? ['runs as root'] : []),
    ...(isEqual(securityContext['seccompProfile'], { type: 'RuntimeDefault' })
      ? []
      : ['has no seccomp profile']),
    ...(pod.automountServiceAccountToken === false ? [] : ["has the cluster's token"]),
    ...kinds.filter((kind) => !VOLUMES.has(kind)).map((kind) => `has a volume of kind ${kind}`),
    ...containers.flatMap((container) => {
      const { name, securityContext: own = {}, resources, volumeMounts = [] } = container;
      const mounted = volumeMounts.filter(
        (mount) => !volumes.some((one) => one['name'] === mount.name),
      );
      return [
        ...(own['allowPrivilegeEscalation'] === false ? [] : [`${name} may gain privileges`]),
        ...(own['readOnlyRootFilesystem'] === true ? [] : [`${name} may write its image`]),
        ...(isEqual(own['capabilities'], { drop: ['ALL'] }) ? [] : [`${name} has capabilities`]),
        ...(resources?.limits?.memory === undefined ? [`${name} has no limit of memory`] : []),
        ...mounted.map((mount) => `${name} mounts ${mount.name}, which isn't there`),
      ];
    }),
  ];
}

/** Whether labels fit a selector. */
export function fits(selector: Labels | undefined, labels: Labels | undefined): boolean {
  const wanted = Object.entries(selector ?? {});
  return wanted.length > 0 && wanted.every(([name, value]) => labels?.[name] === value);
}

function isEqual(found: unknown, wanted: unknown): boolean {
  return JSON.stringify(found) === JSON.stringify(wanted);
}
