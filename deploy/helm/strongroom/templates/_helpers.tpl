{{- define "strongroom.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "strongroom.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "strongroom.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{ include "strongroom.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "strongroom.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end }}

{{- define "strongroom.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "strongroom.fullname" .) -}}
{{- end }}

{{/* What Kubernetes calls "restricted": of the pod, and of each container. */}}
{{- define "strongroom.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "strongroom.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "strongroom.databaseEnvironment" -}}
- name: DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ .name | quote }}
      key: {{ .key | quote }}
{{- end }}

{{/* What the service, the toolbox and the maker of a SoftHSM2 token are told. */}}
{{- define "strongroom.environment" -}}
{{- $name := include "strongroom.fullname" . -}}
{{- $metrics := printf "%s-metrics" $name -}}
{{ include "strongroom.databaseEnvironment" .Values.database.secret }}
{{- with .Values.database.auditSecret }}
{{- if .name }}
- name: STRONGROOM_AUDIT_DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ .name | quote }}
      key: {{ .key | quote }}
{{- end }}
{{- end }}
- name: STRONGROOM_DOMAIN
  value: {{ .Values.domain | quote }}
- name: STRONGROOM_POOL
  value: {{ .Values.pool | quote }}
- name: STRONGROOM_LISTEN
  value: {{ printf "%s:8443" .Values.listenAddress | quote }}
- name: STRONGROOM_METRICS_LISTEN
  value: {{ printf "%s:9464" .Values.listenAddress | quote }}
- name: STRONGROOM_METRICS_HOSTS
  value: {{ printf "%s,%s.%s,%s.%s.svc,%s.%s.svc.cluster.local" $metrics $metrics .Release.Namespace $metrics .Release.Namespace $metrics .Release.Namespace | quote }}
- name: STRONGROOM_IDENTITY_LISTEN
  value: ''
- name: STRONGROOM_TLS_CERT_FILE
  value: /etc/strongroom/tls/tls.crt
- name: STRONGROOM_TLS_KEY_FILE
  value: /etc/strongroom/tls/tls.key
- name: STRONGROOM_WORKERS
  value: {{ .Values.workers | quote }}
- name: PKCS11_TOKEN_LABEL
  value: {{ .Values.hsm.tokenLabel | quote }}
- name: PKCS11_PIN_FILE
  value: {{ printf "/etc/strongroom/pin/%s" (ternary .Values.hsm.pin.csi.file .Values.hsm.pin.secret.key .Values.hsm.pin.csi.enabled) | quote }}
{{- if .Values.hsm.softhsm.enabled }}
- name: PKCS11_MODULE
  value: /usr/lib/softhsm/libsofthsm2.so
- name: SOFTHSM2_CONF
  value: /var/lib/strongroom/softhsm/softhsm2.conf
{{- else }}
- name: PKCS11_MODULE
  value: {{ .Values.hsm.module | quote }}
{{- end }}
{{- range $setting, $value := .Values.settings }}
- name: {{ $setting }}
  value: {{ $value | quote }}
{{- end }}
{{- range $variable, $value := .Values.moduleEnvironment }}
- name: {{ $variable }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{/* Of the files that SIGHUP reads again. */}}
{{- define "strongroom.fileMounts" -}}
- name: tls
  mountPath: /etc/strongroom/tls
  readOnly: true
- name: pin
  mountPath: /etc/strongroom/pin
  readOnly: true
{{- if .Values.files.secret }}
- name: files
  mountPath: /etc/strongroom/files
  readOnly: true
{{- end }}
{{- end }}

{{- define "strongroom.volumeMounts" -}}
{{ include "strongroom.fileMounts" . }}
- name: tmp
  mountPath: /tmp
{{- if .Values.database.tlsSecret }}
- name: database-tls
  mountPath: /etc/strongroom/database
  readOnly: true
{{- end }}
{{- if .Values.hsm.installer.image }}
- name: hsm
  mountPath: /opt/hsm
  readOnly: true
{{- end }}
{{- if .Values.hsm.configSecret }}
- name: hsm-config
  mountPath: /etc/hsm
  readOnly: true
{{- end }}
{{- if .Values.hsm.softhsm.enabled }}
- name: softhsm
  mountPath: /var/lib/strongroom
{{- end }}
{{- if .Values.backups.claim }}
- name: backups
  mountPath: /backups
{{- end }}
{{- end }}

{{- define "strongroom.volumes" -}}
- name: tmp
  emptyDir:
    medium: Memory
    sizeLimit: 64Mi
- name: tls
  secret:
    secretName: {{ .Values.tls.secretName | quote }}
    defaultMode: 0440
- name: pin
{{- if .Values.hsm.pin.csi.enabled }}
  csi:
    driver: secrets-store.csi.k8s.io
    readOnly: true
    volumeAttributes:
      secretProviderClass: {{ include "strongroom.fullname" . }}-pin
{{- else }}
  secret:
    secretName: {{ .Values.hsm.pin.secret.name | quote }}
    defaultMode: 0440
{{- end }}
{{- if .Values.files.secret }}
- name: files
  secret:
    secretName: {{ .Values.files.secret | quote }}
    defaultMode: 0440
{{- end }}
{{- if .Values.database.tlsSecret }}
- name: database-tls
  secret:
    secretName: {{ .Values.database.tlsSecret | quote }}
    # libpq's rule, which the driver doesn't need: a client's key is nobody else's.
    defaultMode: 0440
{{- end }}
{{- if .Values.hsm.installer.image }}
- name: hsm
  emptyDir:
    sizeLimit: 512Mi
{{- end }}
{{- if .Values.hsm.configSecret }}
- name: hsm-config
  secret:
    secretName: {{ .Values.hsm.configSecret | quote }}
    defaultMode: 0440
{{- end }}
{{- if .Values.hsm.softhsm.enabled }}
- name: softhsm
  persistentVolumeClaim:
    claimName: {{ include "strongroom.fullname" . }}-softhsm
{{- end }}
{{- if .Values.backups.claim }}
- name: backups
  persistentVolumeClaim:
    claimName: {{ .Values.backups.claim | quote }}
{{- end }}
{{- end }}

{{/* What has to be done before the module can be loaded. */}}
{{- define "strongroom.hsmContainers" -}}
{{- with .Values.hsm.installer }}
{{- if .image }}
- name: hsm-installer
  image: {{ .image | quote }}
  command: {{ toJson .command }}
  securityContext:
    {{- include "strongroom.securityContext" $ | nindent 4 }}
  resources:
    requests:
      cpu: 10m
      memory: 32Mi
    limits:
      memory: 256Mi
  volumeMounts:
    - name: hsm
      mountPath: /opt/hsm
    - name: tmp
      mountPath: /tmp
{{- end }}
{{- end }}
{{- if .Values.hsm.softhsm.enabled }}
- name: softhsm-token
  image: {{ include "strongroom.image" . | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [node, /opt/strongroom/container/softhsm-token.mjs]
  securityContext:
    {{- include "strongroom.securityContext" . | nindent 4 }}
  env:
    {{- include "strongroom.environment" . | nindent 4 }}
  resources:
    requests:
      cpu: 10m
      memory: 64Mi
    limits:
      memory: 256Mi
  volumeMounts:
    {{- include "strongroom.volumeMounts" . | nindent 4 }}
{{- end }}
{{- end }}

{{/* Of pods that hold no token of the cluster. */}}
{{- define "strongroom.podBasics" -}}
serviceAccountName: {{ include "strongroom.serviceAccountName" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
securityContext:
  {{- include "strongroom.podSecurityContext" . | nindent 2 }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What values.schema.json can't say. */}}
{{- define "strongroom.check" -}}
{{- $replicas := ternary .Values.autoscaling.maxReplicas .Values.replicas .Values.autoscaling.enabled | int -}}
{{- if and .Values.hsm.softhsm.enabled (gt $replicas 1) -}}
{{- fail "hsm.softhsm: a token of SoftHSM2 is in the volume of one replica: set replicas to 1, and autoscaling off" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (lt (int .Values.autoscaling.maxReplicas) (int .Values.autoscaling.minReplicas)) -}}
{{- fail "autoscaling.maxReplicas is less than minReplicas" -}}
{{- end -}}
{{- if and .Values.hsm.installer.image (not .Values.hsm.installer.command) -}}
{{- fail "hsm.installer.command: missing: it copies the module into /opt/hsm" -}}
{{- end -}}
{{- if and .Values.hsm.pin.csi.enabled (not .Values.hsm.pin.csi.provider) -}}
{{- fail "hsm.pin.csi.provider: missing" -}}
{{- end -}}
{{- if and .Values.tls.certManager.enabled (not .Values.tls.certManager.issuerRef.name) -}}
{{- fail "tls.certManager.issuerRef.name: missing" -}}
{{- end -}}
{{- range $variable, $value := .Values.moduleEnvironment -}}
{{- if regexMatch "^(STRONGROOM_|PKCS11_|OTEL_|DATABASE_URL$)" $variable -}}
{{- fail (printf "moduleEnvironment.%s is a setting of the service: it belongs into settings" $variable) -}}
{{- end -}}
{{- end -}}
{{- end }}
