{{/*
Labels by which everything finds the pods. They can never change.
*/}}
{{- define "syncd.selector" -}}
app.kubernetes.io/name: syncd
{{- end -}}

{{/*
Name and labels of an object.
*/}}
{{- define "syncd.metadata" -}}
name: syncd
namespace: {{ .Release.Namespace }}
labels:
  {{- include "syncd.selector" . | nindent 2 }}
{{- end -}}

{{/*
The image, by digest where there is one.
*/}}
{{- define "syncd.image" -}}
{{- if .Values.digest -}}
{{ .Values.image }}@{{ .Values.digest }}
{{- else -}}
{{ .Values.image }}:{{ required "tag: the version of syncd is needed where there is no digest" .Values.tag }}
{{- end -}}
{{- end -}}

{{/*
Every variable of syncd, by name.
*/}}
{{- define "syncd.variables" -}}
SYNCD_ENVIRONMENT: {{ .Values.environmentType | quote }}
SYNCD_NAMESPACE: {{ .Release.Namespace | quote }}
SYNCD_REPOSITORY: {{ .Values.repository | quote }}
SYNCD_REF: {{ .Values.ref | quote }}
SYNCD_LISTEN: 0.0.0.0:9102
SYNCD_LOG_FORMAT: json
{{- if .Values.source.token }}
SYNCD_TOKEN_FILE: /etc/syncd/source/token
{{- end }}
{{- if .Values.source.password }}
SYNCD_PASSWORD_FILE: /etc/syncd/source/password
{{- end }}
{{- if .Values.source.ssh }}
SYNCD_SSH_KEY_FILE: /etc/syncd/source/ssh-key
SYNCD_SSH_KNOWN_HOSTS_FILE: /etc/syncd/source/known-hosts
{{- end }}
{{- if .Values.source.ca }}
SYNCD_CA_FILE: /etc/syncd/source/ca.crt
{{- end }}
{{- if .Values.source.allowedSigners }}
SYNCD_ALLOWED_SIGNERS_FILE: /etc/syncd/source/allowed-signers
{{- end }}
{{- if .Values.source.gpgKeyring }}
SYNCD_GPG_KEYRING_FILE: /etc/syncd/source/gpg-keyring
{{- end }}
{{- range $name, $value := .Values.settings }}
SYNCD_{{ $name }}: {{ $value | toString | quote }}
{{- end }}
{{- end -}}
