{{- define "ccproxy.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- /* At most 50 characters, so that "-headless" and the tests' names still fit into 63. */}}
{{- define "ccproxy.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- $name := include "ccproxy.name" . }}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "ccproxy.selectorLabels" -}}
app.kubernetes.io/name: {{ include "ccproxy.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* The pods that serve; the tests' pods carry the same two labels and another component. */}}
{{- define "ccproxy.podSelector" -}}
{{ include "ccproxy.selectorLabels" . }}
app.kubernetes.io/component: proxy
{{- end }}

{{- define "ccproxy.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "ccproxy.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* `metadata` of an object. Takes root, and if wanted name or suffix, labels, annotations. */}}
{{- define "ccproxy.metadata" -}}
name: {{ .name | default (printf "%s%s" (include "ccproxy.fullname" .root) (.suffix | default "")) }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "ccproxy.labels" .root | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "ccproxy.image" -}}
{{- $image := .Values.image }}
{{- with $image.registry }}{{ . }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "ccproxy.serviceAccountName" -}}
{{ .Values.serviceAccount.name | default (ternary (include "ccproxy.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- define "ccproxy.configMapName" -}}
{{ .Values.existingConfigMap | default (include "ccproxy.fullname" .) }}
{{- end }}

{{- define "ccproxy.proxySecret" -}}
{{ .Values.secrets.proxy.existingSecret | default (include "ccproxy.fullname" .) }}
{{- end }}

{{- define "ccproxy.monitorSecret" -}}
{{ .Values.secrets.monitor.existingSecret | default (include "ccproxy.fullname" .) }}
{{- end }}

{{- /* Whether the chart makes a Secret. */}}
{{- define "ccproxy.makesSecret" -}}
{{- $secrets := .Values.secrets }}
{{- if or (not $secrets.proxy.existingSecret) (not $secrets.monitor.existingSecret) $secrets.create }}true{{ end }}
{{- end }}

{{- /* config.json: the operator's, and the key for /metrics. */}}
{{- define "ccproxy.config" -}}
{{- $monitor := dict "name" "metrics" "scope" "monitor" "key_file" "/run/secrets/ccproxy/monitor-key" }}
{{- $keys := append (.Values.config.keys | default list) $monitor }}
{{- merge (dict "keys" $keys) (omit .Values.config "keys") | toPrettyJson }}
{{- end }}

{{- /* The most that a pod lives on after it was asked to end. */}}
{{- define "ccproxy.grace" -}}
{{- $shutdown := .Values.shutdown }}
{{- $sum := add $shutdown.lameDuckSeconds $shutdown.drainSeconds $shutdown.slackSeconds }}
{{- $shutdown.terminationGracePeriodSeconds | default $sum | int }}
{{- end }}

{{- /* How few pods there may be. */}}
{{- define "ccproxy.minReplicas" -}}
{{- if .Values.autoscaling.enabled }}{{ .Values.autoscaling.minReplicas }}
{{- else if .Values.keda.enabled }}{{ .Values.keda.minReplicas }}
{{- else }}{{ .Values.replicaCount }}
{{- end }}
{{- end }}

{{- define "ccproxy.appProtocolHttp" -}}
{{ .Values.service.appProtocolHttp | default (ternary "https" "http" .Values.tls.enabled) }}
{{- end }}

{{- define "ccproxy.appProtocolGrpc" -}}
{{ .Values.service.appProtocolGrpc | default (ternary "https" "kubernetes.io/h2c" .Values.tls.enabled) }}
{{- end }}

{{- /*
A probe. The kubelet takes a number for gRPC's port, no name, and speaks no TLS to it. Takes root and probe.
*/}}
{{- define "ccproxy.probe" -}}
{{- $values := .root.Values }}
{{- if eq $values.probes.mode "grpc" }}
grpc:
  port: {{ ternary $values.ports.health $values.ports.grpc $values.tls.enabled }}
  service: {{ .probe.service }}
{{- else }}
httpGet:
  path: {{ .probe.path }}
  port: http
  scheme: {{ ternary "HTTPS" "HTTP" $values.tls.enabled }}
{{- end }}
{{ omit .probe "enabled" "service" "path" | toYaml }}
{{- end }}

{{- /* What Prometheus is told about /metrics. Takes root, monitor, and the key that names a port of the pod. */}}
{{- define "ccproxy.endpoint" -}}
{{- $own := .root.Values.ports.metrics -}}
{{ ternary .podPort "port" (gt (int $own) 0) }}: {{ ternary "metrics" "http" (gt (int $own) 0) }}
path: /metrics
interval: {{ .monitor.interval }}
scrapeTimeout: {{ .monitor.scrapeTimeout }}
{{- if not $own }}
authorization:
  credentials:
    name: {{ include "ccproxy.monitorSecret" .root }}
    key: {{ .root.Values.secrets.monitor.key }}
{{- end }}
{{- if and .root.Values.tls.enabled (not $own) }}
scheme: https
tlsConfig:
  # Prometheus asks addresses, which are not in the certificate; the key alone opens nothing but numbers.
  insecureSkipVerify: true
  {{- with .root.Values.tls.monitorSecretName }}
  cert:
    secret:
      name: {{ . }}
      key: tls.crt
  keySecret:
    name: {{ . }}
    key: tls.key
  {{- end }}
{{- end }}
{{- with .monitor.metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* The port of the collector, by the address of it. */}}
{{- define "ccproxy.collectorPort" -}}
{{- $url := urlParse .Values.otel.endpoint }}
{{- regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (ternary "443" "80" (eq $url.scheme "https")) }}
{{- end }}
