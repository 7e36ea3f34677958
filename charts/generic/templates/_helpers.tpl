{{/*
One value as text. A string is itself; anything else is its JSON, so that 1000000 stays 1000000 (Go would print 1e+06).
*/}}
{{- define "generic.text" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ toJson . }}{{ end -}}
{{- end -}}

{{/*
A list of words, one entry each.
*/}}
{{- define "generic.words" -}}
{{- range . }}
- {{ include "generic.text" . | quote }}
{{- end }}
{{- end -}}

{{- define "generic.namespace" -}}
{{ .Values.namespace | default .Release.Name }}
{{- end -}}

{{- define "generic.image" -}}
{{ printf "%s:%s" (required "image is required" .Values.image) (include "generic.text" (required "tag is required" .Values.tag)) | quote }}
{{- end -}}

{{/*
What tells the pods of this release from all others. Selectors cannot be changed later: nothing that may change belongs here.
*/}}
{{- define "generic.selector" -}}
app.kubernetes.io/name: {{ .Release.Name | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/*
Labels that say whose an object is; what it is called stands before them.
*/}}
{{- define "generic.ownership" -}}
app.kubernetes.io/managed-by: syncd
team: {{ include "generic.text" (required "team is required" .Values.team) | quote }}
env: {{ include "generic.text" (required "environmentType is required" .Values.environmentType) | quote }}
{{- range $name, $value := .Values.labels }}
{{- if not (kindIs "invalid" $value) }}
{{ $name | quote }}: {{ include "generic.text" $value | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "generic.labels" -}}
{{ include "generic.selector" . }}
{{ include "generic.ownership" . }}
{{- end -}}

{{/*
The metadata that every object of the release has.
*/}}
{{- define "generic.metadata" -}}
{{ include "generic.metadataOf" (list . "") }}
{{- end -}}

{{/*
The same for one of several objects of a kind: a list of the root, what follows the name of the release, and annotations of its own.
*/}}
{{- define "generic.metadataOf" -}}
{{- $root := index . 0 -}}
name: {{ printf "%s%s" $root.Release.Name (index . 1) | quote }}
namespace: {{ include "generic.namespace" $root | quote }}
labels:
  {{- include "generic.labels" $root | nindent 2 }}
{{- $own := dict -}}
{{- if gt (len .) 2 -}}
{{- $own = index . 2 -}}
{{- end -}}
{{- if or $own $root.Values.annotations }}
{{- include "generic.annotations" (list $root.Values.annotations $own) }}
{{- end }}
{{- end -}}

{{/*
Annotations out of several maps; a later one wins, null takes one out.
*/}}
{{- define "generic.annotations" -}}
{{- $all := dict -}}
{{- range . -}}
{{- range $name, $value := . -}}
{{- if kindIs "invalid" $value -}}
{{- $_ := unset $all $name -}}
{{- else -}}
{{- $_ := set $all $name (include "generic.text" $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with $all }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/*
Variables as the data of a ConfigMap: one line a variable, nothing where there is none.
*/}}
{{- define "generic.environment" -}}
{{- range $name, $value := . }}
{{- if not (kindIs "invalid" $value) }}
{{ $name | quote }}: {{ include "generic.text" $value | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "generic.secrets" -}}
{{- range $name, $value := . }}
{{- if not (kindIs "invalid" $value) }}
{{ $name | quote }}: {{ include "generic.text" $value | b64enc | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/*
Files as the data of a ConfigMap. A key cannot hold a path, so it is the path with dashes.
*/}}
{{- define "generic.fileKey" -}}
{{ . | trimPrefix "/" | replace "/" "-" | quote }}
{{- end -}}

{{- define "generic.files" -}}
{{- range $path, $content := . }}
{{- if not (kindIs "invalid" $content) }}
{{ include "generic.fileKey" $path }}: {{ if kindIs "string" $content }}{{ $content | quote }}{{ else if hasSuffix ".json" $path }}{{ toPrettyJson $content | quote }}{{ else }}{{ printf "%s\n" (toYaml $content) | quote }}{{ end }}
{{- end }}
{{- end }}
{{- end -}}

{{/*
Not empty where the service has a Service: where it serves HTTP or exposes a port.
*/}}
{{- define "generic.isServed" -}}
{{- if ne .Values.workload.kind "None" -}}
{{- if .Values.httpService.enable }}yes{{ end -}}
{{- range .Values.ports }}{{ if and . (ne .expose false) }}yes{{ end }}{{ end -}}
{{- end -}}
{{- end -}}

{{/*
Kubernetes' own fields over written ones: a list of the text and the map that goes over it.
*/}}
{{- define "generic.over" -}}
{{- $written := index . 0 -}}
{{- with index . 1 -}}
{{- toYaml (mergeOverwrite (fromYaml $written) (deepCopy .)) -}}
{{- else -}}
{{- $written -}}
{{- end -}}
{{- end -}}
