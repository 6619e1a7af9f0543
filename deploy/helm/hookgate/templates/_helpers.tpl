{{- define "hookgate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "hookgate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "hookgate.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "hookgate.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "hookgate.selector" -}}
app.kubernetes.io/name: {{ include "hookgate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "hookgate.labels" -}}
{{ include "hookgate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "hookgate.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "hookgate.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "hookgate.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{/* Changes with the settings that hookgate reads at its start only. All others are reloaded, and do not restart the pods. */}}
{{- define "hookgate.restartChecksum" -}}
{{- $config := include "hookgate.config" . | fromYaml -}}
{{- $start := pick $config "listen" "admin_listen" "log_format" "threads" "data" "after" "traces" -}}
{{- $policies := dict -}}
{{- range $name, $policy := $config.policies }}{{ $_ := set $policies $name (eq $policy.url "builtin") }}{{ end -}}
{{- with $policies }}{{ $_ := set $start "policies" . }}{{ end -}}
{{- toJson $start | sha256sum -}}
{{- end -}}

{{/* `hookgate verify` in a pod of its own has no socket of another pod, no client certificate and no other server name. */}}
{{- define "hookgate.testable" -}}
{{- if not (or (not .Values.policy) (hasPrefix "unix:" .Values.policy) .Values.policyTls.clientCertificate .Values.policyTls.serverName) }}true{{ end -}}
{{- end -}}

{{- define "hookgate.drainDelay" -}}
{{- if kindIs "invalid" .Values.drain.delaySeconds -}}
{{- ternary 0 12 (and (eq .Values.mode "sidecar") .Values.sidecar.native) -}}
{{- else -}}
{{- .Values.drain.delaySeconds -}}
{{- end -}}
{{- end -}}

{{- define "hookgate.gracePeriod" -}}
{{- add (include "hookgate.drainDelay" .) .Values.drain.timeSeconds 5 -}}
{{- end -}}

{{/* The Secret with the files of access rules: the operator's own, or the chart's; empty where there is none. */}}
{{- define "hookgate.accessSecret" -}}
{{- if .Values.access.existingSecret -}}
{{- .Values.access.existingSecret -}}
{{- else if or .Values.access.passwords .Values.access.paths -}}
{{- include "hookgate.fullname" . }}-access
{{- end -}}
{{- end -}}

{{/* The files in it, as a list in JSON. */}}
{{- define "hookgate.accessKeys" -}}
{{- if .Values.access.existingSecret -}}
{{- toJson .Values.access.existingSecretKeys -}}
{{- else -}}
{{- $keys := list -}}
{{- if .Values.access.passwords }}{{ $keys = append $keys "passwords" }}{{ end -}}
{{- if .Values.access.paths }}{{ $keys = append $keys "paths" }}{{ end -}}
{{- toJson $keys -}}
{{- end -}}
{{- end -}}

{{/* The ports of the policies' pods, as a list in JSON: the value, or those of their URLs. A Unix socket has none. */}}
{{- define "hookgate.policyPorts" -}}
{{- $urls := list -}}
{{- with .Values.policy }}{{ $urls = append $urls . }}{{ end -}}
{{- range .Values.config.policies }}{{ $urls = append $urls .url }}{{ end -}}
{{- $ports := list -}}
{{- range $urls -}}
{{- if not (or (hasPrefix "unix:" .) (eq . "builtin")) -}}
{{- $url := urlParse . -}}
{{- $port := regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) -}}
{{- $ports = append $ports (default (ternary "443" "80" (eq $url.scheme "https")) $port | int) -}}
{{- end -}}
{{- end -}}
{{- with .Values.networkPolicy.policyPort }}{{ $ports = list (int .) }}{{ end -}}
{{- toJson (uniq $ports) -}}
{{- end -}}
