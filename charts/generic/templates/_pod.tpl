{{/*
The container of the service itself.
*/}}
{{- define "generic.container" -}}
name: app
image: {{ include "generic.image" . }}
imagePullPolicy: {{ .Values.imagePullPolicy }}
{{- with .Values.command }}
command:
  {{- include "generic.words" . | nindent 2 }}
{{- end }}
{{- with .Values.cmdArgs }}
args:
  {{- include "generic.words" . | nindent 2 }}
{{- end }}
{{- if or .Values.httpService.enable .Values.ports }}
ports:
  {{- if .Values.httpService.enable }}
  - name: http
    containerPort: {{ int64 .Values.httpService.internalPort }}
    protocol: TCP
  {{- end }}
  {{- range $name, $port := .Values.ports }}
  {{- if $port }}
  - name: {{ $name | quote }}
    containerPort: {{ int64 $port.containerPort }}
    protocol: {{ $port.protocol | default "TCP" }}
  {{- end }}
  {{- end }}
{{- end }}
{{- include "generic.containerRest" (list . (dict)) }}
{{- include "generic.probes" . }}
{{- with .Values.workload.lifecycle }}
lifecycle:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
What the container of the service and those of its jobs have alike: a list of the root and the variables of the container's own.
*/}}
{{- define "generic.containerRest" }}
{{- $root := index . 0 }}
{{- $own := index . 1 }}
{{- with $root }}
{{- if or $own .Values.environmentFrom }}
env:
  {{- range $name, $value := $own }}
  {{- if not (kindIs "invalid" $value) }}
  - name: {{ $name | quote }}
    value: {{ include "generic.text" $value | quote }}
  {{- end }}
  {{- end }}
  {{- range $name, $from := .Values.environmentFrom }}
  {{- if and $from (not (hasKey $own $name)) }}
  - name: {{ $name | quote }}
    valueFrom:
      {{- toYaml $from | nindent 6 }}
  {{- end }}
  {{- end }}
{{- end }}
envFrom:
  - configMapRef:
      name: {{ .Release.Name | quote }}
  - secretRef:
      name: {{ .Release.Name | quote }}
  {{- range $name, $secret := .Values.externalSecrets }}
  {{- if and $secret (ne $secret.asEnvironment false) }}
  - secretRef:
      name: {{ printf "%s-%s" $root.Release.Name $name | quote }}
  {{- end }}
  {{- end }}
  {{- range $name, $secret := .Values.sealedSecrets }}
  {{- if and $secret (ne $secret.asEnvironment false) }}
  - secretRef:
      name: {{ printf "%s-%s" $root.Release.Name $name | quote }}
  {{- end }}
  {{- end }}
  {{- with .Values.envFrom }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
resources:
  {{- $own := dict "memory" (printf "%dMi" (int64 .Values.resources.memoryMiB)) "cpu" (printf "%dm" (int64 .Values.resources.cpuMilli)) }}
  {{- range $kind := list "requests" "limits" }}
  {{- $all := merge (dict) $own }}
  {{- range $name, $value := index $root.Values.resources $kind }}
  {{- if kindIs "invalid" $value }}
  {{- $_ := unset $all $name }}
  {{- else }}
  {{- $_ := set $all $name $value }}
  {{- end }}
  {{- end }}
  {{- with $all }}
  {{ $kind }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
{{- if or .Values.volumes .Values.persistence .Values.files }}
volumeMounts:
  {{- range $name, $volume := .Values.volumes }}
  {{- if and $volume $volume.mountPath }}
  - name: {{ $name | quote }}
    {{- pick $volume "mountPath" "subPath" "readOnly" | toYaml | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- range $name, $volume := .Values.persistence }}
  {{- if $volume }}
  - name: {{ $name | quote }}
    {{- pick $volume "mountPath" "subPath" "readOnly" | toYaml | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- range $path, $content := .Values.files }}
  {{- if not (kindIs "invalid" $content) }}
  - name: files
    mountPath: {{ $path | quote }}
    subPath: {{ include "generic.fileKey" $path }}
    readOnly: true
  {{- end }}
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/*
Kubernetes' own probes where they are given, else those of healthCheck.
*/}}
{{- define "generic.probes" }}
{{- $isChecked := and .Values.httpService.enable .Values.healthCheck.enable }}
{{- if .Values.probes.liveness }}
livenessProbe:
  {{- toYaml .Values.probes.liveness | nindent 2 }}
{{- else if $isChecked }}
livenessProbe:
  httpGet:
    path: {{ .Values.healthCheck.livePath | quote }}
    port: http
  initialDelaySeconds: 15
  periodSeconds: 5
  timeoutSeconds: 5
{{- end }}
{{- if .Values.probes.readiness }}
readinessProbe:
  {{- toYaml .Values.probes.readiness | nindent 2 }}
{{- else if $isChecked }}
readinessProbe:
  httpGet:
    path: {{ .Values.healthCheck.readyPath | quote }}
    port: http
  initialDelaySeconds: 15
  timeoutSeconds: 5
{{- end }}
{{- with .Values.probes.startup }}
startupProbe:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
An init container or sidecar: a list of the root, the name, and Kubernetes' own fields.
*/}}
{{- define "generic.helper" -}}
{{- $root := index . 0 -}}
{{- $own := index . 2 -}}
name: {{ index . 1 | quote }}
{{- if not $own.image }}
image: {{ include "generic.image" $root }}
{{- end }}
{{- if not $own.imagePullPolicy }}
imagePullPolicy: {{ $root.Values.imagePullPolicy }}
{{- end }}
{{- if not (hasKey $own "securityContext") }}
{{- with $root.Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{ toYaml $own }}
{{- end -}}

{{/*
The spec of a pod: a list of the root, the text of its container, and the restart policy; empty for pods that run on.
*/}}
{{- define "generic.podSpec" -}}
{{- $root := index . 0 -}}
{{- $values := $root.Values -}}
{{- $isService := not (index . 2) -}}
serviceAccountName: {{ include "generic.serviceAccount" $root }}
automountServiceAccountToken: {{ $values.serviceAccount.automountToken }}
{{- with index . 2 }}
restartPolicy: {{ . }}
{{- end }}
{{- with $values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- with $values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if $isService }}
{{- with $values.workload.terminationGracePeriodSeconds }}
terminationGracePeriodSeconds: {{ int64 . }}
{{- end }}
{{- with $values.initContainers }}
initContainers:
  {{- range $name, $own := . }}
  {{- if $own }}
  - {{- include "generic.helper" (list $root $name $own) | nindent 4 }}
  {{- end }}
  {{- end }}
{{- end }}
{{- end }}
containers:
  - {{- include "generic.over" (list (index . 1) $values.containerSpec) | nindent 4 }}
  {{- if $isService }}
  {{- range $name, $own := $values.sidecars }}
  {{- if $own }}
  - {{- include "generic.helper" (list $root $name $own) | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- end }}
{{- $hasTemplates := eq $values.workload.kind "StatefulSet" }}
{{- if or $values.volumes $values.files (and $values.persistence (not (and $hasTemplates $isService))) }}
volumes:
  {{- range $name, $volume := $values.volumes }}
  {{- if $volume }}
  - name: {{ $name | quote }}
    {{- omit $volume "mountPath" "subPath" "readOnly" | toYaml | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- if not (and $hasTemplates $isService) }}
  {{- range $name, $volume := $values.persistence }}
  {{- if $volume }}
  - name: {{ $name | quote }}
    persistentVolumeClaim:
      claimName: {{ printf "%s-%s" $root.Release.Name $name | quote }}
  {{- end }}
  {{- end }}
  {{- end }}
  {{- if $values.files }}
  - name: files
    configMap:
      name: {{ printf "%s-files" $root.Release.Name | quote }}
  {{- end }}
{{- end }}
{{- with $values.scheduling }}
{{- if and .spread $isService }}
topologySpreadConstraints:
  {{- range $key, $spread := .spread }}
  {{- if $spread }}
  - topologyKey: {{ $key | quote }}
    maxSkew: {{ int64 ($spread.maxSkew | default 1) }}
    whenUnsatisfiable: {{ $spread.whenUnsatisfiable | default "ScheduleAnyway" }}
    {{- with $spread.minDomains }}
    minDomains: {{ int64 . }}
    {{- end }}
    labelSelector:
      matchLabels:
        {{- include "generic.selector" $root | nindent 8 }}
  {{- end }}
  {{- end }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "generic.serviceAccount" -}}
{{- with .Values.serviceAccount -}}
{{ .name | default (ternary $.Release.Name "default" .create) | quote }}
{{- end -}}
{{- end -}}

{{/*
The pods of the service: metadata and spec.
*/}}
{{- define "generic.podTemplate" -}}
metadata:
  labels:
    {{- include "generic.labels" . | nindent 4 }}
    {{- range $name, $value := .Values.podLabels }}
    {{- if not (kindIs "invalid" $value) }}
    {{ $name | quote }}: {{ include "generic.text" $value | quote }}
    {{- end }}
    {{- end }}
  {{- $configuration := printf "%s\n\n%s" (include "generic.environment" .Values.environment) (include "generic.secrets" .Values.secrets) }}
  {{- with .Values.files }}
  {{- $configuration = printf "%s\n\n%s" $configuration (include "generic.files" .) }}
  {{- end }}
  {{- include "generic.annotations" (list (dict "checksum/config" (sha256sum $configuration)) .Values.podAnnotations) | nindent 2 }}
spec:
  {{- include "generic.over" (list (include "generic.podSpec" (list . (include "generic.container" .) "")) .Values.podSpec) | nindent 2 }}
{{- end -}}

{{/*
What a Job does: a list of the root, its name, and its values.
*/}}
{{- define "generic.jobSpec" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $job := index . 2 -}}
{{- range list "backoffLimit" "activeDeadlineSeconds" "ttlSecondsAfterFinished" "completions" "parallelism" -}}
{{- $value := index $job . -}}
{{- if not (kindIs "invalid" $value) }}
{{ . }}: {{ int64 $value }}
{{- end }}
{{- end }}
template:
  metadata:
    labels:
      app.kubernetes.io/name: {{ printf "%s-%s" $root.Release.Name $name | quote }}
      app.kubernetes.io/instance: {{ $root.Release.Name | quote }}
      app.kubernetes.io/component: {{ $name | quote }}
      {{- include "generic.ownership" $root | nindent 6 }}
    {{- with $root.Values.podAnnotations }}
    {{- include "generic.annotations" (list .) | nindent 4 }}
    {{- end }}
  spec:
    {{- $container := include "generic.jobContainer" . }}
    {{- include "generic.over" (list (include "generic.podSpec" (list $root $container ($job.restartPolicy | default "Never"))) $root.Values.podSpec) | nindent 4 }}
{{- end -}}

{{- define "generic.jobContainer" -}}
{{- $root := index . 0 -}}
{{- $job := index . 2 -}}
name: {{ index . 1 | quote }}
image: {{ include "generic.image" $root }}
imagePullPolicy: {{ $root.Values.imagePullPolicy }}
{{- with $job.command }}
command:
  {{- include "generic.words" . | nindent 2 }}
{{- end }}
{{- with $job.args }}
args:
  {{- include "generic.words" . | nindent 2 }}
{{- end }}
{{- include "generic.containerRest" (list $root ($job.environment | default dict)) }}
{{- end -}}
