{{/* hookgate.yaml: the chart's own settings over those of `config`. */}}
{{- define "hookgate.config" -}}
{{- $webhooks := printf "%s:%v" (ternary "127.0.0.1" .Values.bindAddress (eq .Values.mode "sidecar")) .Values.ports.webhooks -}}
{{- $config := dict
  "listen" $webhooks
  "admin_listen" (printf "%s:%v" .Values.bindAddress .Values.ports.admin)
  "drain" (dict "delay" (printf "%ss" (include "hookgate.drainDelay" .)) "time" (printf "%vs" .Values.drain.timeSeconds)) -}}
{{- if .Values.policy }}{{ $_ := set $config "policy" .Values.policy }}{{ end -}}
{{- $access := dict -}}
{{- if include "hookgate.accessSecret" . -}}
{{- range include "hookgate.accessKeys" . | fromJsonArray -}}
{{- $_ := set $access . (printf "/etc/hookgate/access/%s" .) -}}
{{- end -}}
{{- end -}}
{{- with .Values.access.sources }}{{ $_ := set $access "sources" . }}{{ end -}}
{{- with .Values.access.trustedProxies }}{{ $_ := set $access "trusted_proxies" . }}{{ end -}}
{{- if $access }}{{ $_ := set $config "access" $access }}{{ else if .Values.access.anybody }}{{ $_ := set $config "access" "none" }}{{ end -}}
{{- if .Values.tls.secret -}}
{{- $tls := dict "certificate" "/etc/hookgate/tls/tls.crt" "key" "/etc/hookgate/tls/tls.key" -}}
{{- if .Values.tls.clientCaSecret }}{{ $_ := set $tls "client_ca" "/etc/hookgate/client-ca/ca.crt" }}{{ end -}}
{{- $_ := set $config "tls" $tls -}}
{{- end -}}
{{- $policyTls := dict -}}
{{- if .Values.policyTls.secret -}}
{{- if .Values.policyTls.ca }}{{ $_ := set $policyTls "ca" "/etc/hookgate/policy-tls/ca.crt" }}{{ end -}}
{{- if .Values.policyTls.clientCertificate -}}
{{- $_ := set $policyTls "certificate" "/etc/hookgate/policy-tls/tls.crt" -}}
{{- $_ := set $policyTls "key" "/etc/hookgate/policy-tls/tls.key" -}}
{{- end -}}
{{- end -}}
{{- with .Values.policyTls.serverName }}{{ $_ := set $policyTls "server_name" . }}{{ end -}}
{{- if $policyTls }}{{ $_ := set $config "policy_tls" $policyTls }}{{ end -}}
{{- if .Values.openim.configMap -}}
{{- $_ := set $config "openim" (dict "webhooks" (printf "/etc/hookgate/openim/%s" .Values.openim.key)) -}}
{{- end -}}
{{- if .Values.data.enabled }}{{ $_ := set $config "data" "/var/lib/hookgate" }}{{ end -}}
{{- toYaml (mergeOverwrite (deepCopy .Values.config) $config) -}}
{{- end -}}
