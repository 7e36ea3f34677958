{{/*
One value as text. A string is itself; anything else is its JSON, so that 1000000 stays 1000000 (Go would print 1e+06).
*/}}
{{- define "generic.text" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ toJson . }}{{ end -}}
{{- end -}}

{{- define "generic.namespace" -}}
{{ .Values.namespace | default .Release.Name }}
{{- end -}}

{{/*
What tells the pods of this release from all others. Selectors cannot be changed later: nothing that may change belongs here.
*/}}
{{- define "generic.selector" -}}
app.kubernetes.io/name: {{ .Release.Name | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "generic.labels" -}}
{{ include "generic.selector" . }}
app.kubernetes.io/managed-by: syncd
team: {{ include "generic.text" (required "team is required" .Values.team) | quote }}
env: {{ include "generic.text" (required "environmentType is required" .Values.environmentType) | quote }}
{{- end -}}

{{/*
The metadata that every object of the release has.
*/}}
{{- define "generic.metadata" -}}
name: {{ .Release.Name | quote }}
namespace: {{ include "generic.namespace" . | quote }}
labels:
  {{- include "generic.labels" . | nindent 2 }}
{{- end -}}

{{/*
The data of the ConfigMap, and that of the Secret: one line a variable, nothing where there is none.
*/}}
{{- define "generic.environment" -}}
{{- range $name, $value := .Values.environment }}
{{- if not (kindIs "invalid" $value) }}
{{ $name | quote }}: {{ include "generic.text" $value | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "generic.secrets" -}}
{{- range $name, $value := .Values.secrets }}
{{- if not (kindIs "invalid" $value) }}
{{ $name | quote }}: {{ include "generic.text" $value | b64enc | quote }}
{{- end }}
{{- end }}
{{- end -}}
