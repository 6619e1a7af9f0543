{{/* The container and its volumes: the same in the chart's own pods and in the patch for OpenIM's. */}}
{{- define "hookgate.container" -}}
{{- $sidecar := eq .Values.mode "sidecar" -}}
name: hookgate
image: {{ include "hookgate.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [serve, --config, /etc/hookgate/config/hookgate.yaml]
{{- with .Values.extraEnv }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if and $sidecar .Values.sidecar.native }}
restartPolicy: Always
{{- end }}
ports:
  {{- if not $sidecar }}
  - name: webhooks
    containerPort: {{ .Values.ports.webhooks }}
  {{- end }}
  - name: hookgate-admin
    containerPort: {{ .Values.ports.admin }}
{{- if or $sidecar (eq .Values.startup "livez") }}
# Passes once hookgate listens. If the policy is not there yet, the failure rules decide.
startupProbe:
  httpGet: { path: /livez, port: hookgate-admin }
  periodSeconds: 1
  failureThreshold: {{ ternary 60 (int .Values.startupSeconds) $sidecar }}
{{- else }}
# Passes once the policy has answered.
startupProbe:
  httpGet: { path: /readyz, port: hookgate-admin }
  periodSeconds: 2
  failureThreshold: {{ div (add .Values.startupSeconds 1) 2 }}
{{- end }}
{{- if not $sidecar }}
readinessProbe:
  httpGet: { path: /{{ .Values.readiness }}, port: hookgate-admin }
  periodSeconds: 2
  failureThreshold: 2
{{- end }}
livenessProbe:
  httpGet: { path: /livez, port: hookgate-admin }
  periodSeconds: 5
  timeoutSeconds: 2
  failureThreshold: 3
securityContext:
  {{- include "hookgate.securityContext" . | nindent 2 }}
{{- with .Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
# Folders, never subPath: a file mounted alone would not change when its Secret does, and hookgate reads it anew when it does.
volumeMounts:
  - name: hookgate-config
    mountPath: /etc/hookgate/config
    readOnly: true
  {{- if include "hookgate.accessSecret" . }}
  - name: hookgate-access
    mountPath: /etc/hookgate/access
    readOnly: true
  {{- end }}
  {{- if .Values.tls.secret }}
  - name: hookgate-tls
    mountPath: /etc/hookgate/tls
    readOnly: true
  {{- end }}
  {{- if .Values.tls.clientCaSecret }}
  - name: hookgate-client-ca
    mountPath: /etc/hookgate/client-ca
    readOnly: true
  {{- end }}
  {{- if .Values.policyTls.secret }}
  - name: hookgate-policy-tls
    mountPath: /etc/hookgate/policy-tls
    readOnly: true
  {{- end }}
  {{- if .Values.openim.configMap }}
  - name: hookgate-openim
    mountPath: /etc/hookgate/openim
    readOnly: true
  {{- end }}
  {{- if .Values.data.enabled }}
  - name: hookgate-data
    mountPath: /var/lib/hookgate
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "hookgate.securityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "hookgate.volumes" -}}
{{- /* In OpenIM's pods there is no group of ours to give the files to; no other container there mounts them. */ -}}
{{- $mode := ternary "0444" "0440" (eq .Values.mode "sidecar") -}}
- name: hookgate-config
  configMap:
    name: {{ include "hookgate.fullname" . }}
{{- with include "hookgate.accessSecret" . }}
- name: hookgate-access
  secret:
    secretName: {{ . }}
    defaultMode: {{ $mode }}
{{- end }}
{{- with .Values.tls.secret }}
- name: hookgate-tls
  secret:
    secretName: {{ . }}
    defaultMode: {{ $mode }}
{{- end }}
{{- with .Values.tls.clientCaSecret }}
- name: hookgate-client-ca
  secret:
    secretName: {{ . }}
    items: [{ key: ca.crt, path: ca.crt }]
{{- end }}
{{- with .Values.policyTls.secret }}
- name: hookgate-policy-tls
  secret:
    secretName: {{ . }}
    defaultMode: {{ $mode }}
{{- end }}
{{- if .Values.openim.configMap }}
- name: hookgate-openim
  configMap:
    name: {{ .Values.openim.configMap }}
    items: [{ key: {{ .Values.openim.key }}, path: {{ .Values.openim.key }} }]
{{- end }}
{{- if and .Values.data.enabled (eq .Values.mode "sidecar") }}
# Outlives a restart of the container, not the pod.
- name: hookgate-data
  emptyDir:
    sizeLimit: {{ .Values.data.size }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
