{{/* What cannot be right is said before anything is installed. */}}
{{- define "hookgate.checks" -}}
{{- if and (not .Values.policy) (not .Values.config.policies) -}}
{{- fail "policy: say where the policy service is, as in --set policy=http://policy:50051; config.policies and config.routes are for several" -}}
{{- end -}}
{{- if and .Values.policy .Values.config.policies -}}
{{- fail "config.policies: names services too; take it or the value policy" -}}
{{- end -}}
{{- $own := dict
  "listen" "ports.webhooks and bindAddress"
  "admin_listen" "ports.admin and bindAddress"
  "builtin_listen" "policy, which is always set here"
  "policy" "policy"
  "access" "access"
  "tls" "tls"
  "policy_tls" "policyTls"
  "data" "data"
  "drain" "drain" -}}
{{- range $key, $instead := $own -}}
{{- if hasKey $.Values.config $key -}}
{{- fail (printf "config.%s: the chart sets it; use the value %s" $key $instead) -}}
{{- end -}}
{{- end -}}
{{- if hasKey (default dict .Values.config.openim) "webhooks" -}}
{{- fail "config.openim.webhooks: the chart sets it; use the value openim.configMap" -}}
{{- end -}}
{{- if and .Values.access.existingSecret (or .Values.access.passwords .Values.access.paths) -}}
{{- fail "access: existingSecret stands instead of passwords and paths; take one of them" -}}
{{- end -}}
{{- if and (eq .Values.mode "shared") (not (or (include "hookgate.accessSecret" .) .Values.access.sources .Values.tls.clientCaSecret .Values.access.anybody)) -}}
{{- fail "access: nothing says who may call; set passwords, paths, existingSecret or sources, or access.anybody=true where the network decides it" -}}
{{- end -}}
{{- if and .Values.tls.clientCaSecret (not .Values.tls.secret) -}}
{{- fail "tls.clientCaSecret: client certificates need TLS; set tls.secret too" -}}
{{- end -}}
{{- if and .Values.policyTls.secret (not (hasPrefix "https://" (default "" .Values.policy))) -}}
{{- fail "policyTls.secret: the policy is not asked over TLS; its URL must be https://…" -}}
{{- end -}}
{{- if and .Values.policyTls.secret (not .Values.policyTls.ca) (not .Values.policyTls.clientCertificate) -}}
{{- fail "policyTls.secret: nothing of it is used; set policyTls.ca or policyTls.clientCertificate" -}}
{{- end -}}
{{- if and .Values.policyTls.clientCertificate (not .Values.policyTls.secret) -}}
{{- fail "policyTls.clientCertificate: set policyTls.secret, a Secret with tls.crt and tls.key" -}}
{{- end -}}
{{- end -}}
