{{- define "exalign.labels" -}}
app.kubernetes.io/name: exalign
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- define "exalign.pod" -}}
automountServiceAccountToken: false
securityContext: {runAsNonRoot: true, runAsUser: 10001, runAsGroup: 10001, fsGroup: 10001, seccompProfile: {type: RuntimeDefault}}
{{- end }}
{{- define "exalign.container" -}}
securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
{{- end }}
{{- define "exalign.store" -}}
{{- if .Values.redis.enabled }}redis://{{ .Release.Name }}-redis:6379{{ else }}{{ required "redis.url is needed without redis.enabled" .Values.redis.url }}{{ end }}
{{- end }}
