{{- define "flagstone.name" -}}
{{- default .Release.Name .Values.fullnameOverride -}}
{{- end -}}

{{- define "flagstone.selector" -}}
app.kubernetes.io/name: flagstone
app.kubernetes.io/component: cache
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "flagstone.release" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "flagstone.labels" -}}
app.kubernetes.io/name: flagstone
app.kubernetes.io/component: cache
{{ include "flagstone.release" . }}
{{- end -}}

{{- define "flagstone.metricsLabels" -}}
app.kubernetes.io/name: flagstone
app.kubernetes.io/component: metrics
{{ include "flagstone.release" . }}
{{- end -}}

{{- define "flagstone.authSecret" -}}
{{- if .Values.auth.existingSecret -}}
{{- .Values.auth.existingSecret -}}
{{- else if .Values.auth.tokens -}}
{{- include "flagstone.name" . }}-tokens
{{- end -}}
{{- end -}}
