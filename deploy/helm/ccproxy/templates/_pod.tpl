{{- /* The variables of CCProxy. They go before the file, whoever wrote it, so the ports are those of the Service. */}}
{{- define "ccproxy.env" -}}
{{- $values := .Values -}}
- name: CCPROXY_CONFIG
  value: /etc/ccproxy/config.json
- name: CCPROXY_HOME
  value: /home/ccproxy/.ccproxy
- name: CCPROXY_HOST
  value: {{ $values.app.host | quote }}
- name: CCPROXY_PORT
  value: {{ $values.ports.http | quote }}
- name: CCPROXY_GRPC_PORT
  value: {{ $values.ports.grpc | quote }}
- name: CCPROXY_API_KEY_FILE
  value: /run/secrets/ccproxy/proxy-key
- name: CCPROXY_TRUST_LOCALHOST
  value: {{ $values.app.trustLocalhost | quote }}
- name: CCPROXY_GRPC_REFLECTION
  value: {{ $values.app.grpcReflection | quote }}
- name: CCPROXY_LOG_LEVEL
  value: {{ $values.app.logLevel }}
- name: CCPROXY_LOG_FORMAT
  value: {{ $values.app.logFormat }}
- name: CCPROXY_DRAIN_DELAY
  value: {{ $values.shutdown.lameDuckSeconds | int | printf "%ds" }}
- name: CCPROXY_SHUTDOWN_TIMEOUT
  value: {{ $values.shutdown.drainSeconds | int | printf "%ds" }}
{{- if $values.ports.metrics }}
- name: CCPROXY_METRICS_PORT
  value: {{ $values.ports.metrics | quote }}
{{- end }}
{{- if $values.otel.propagateUpstream }}
- name: CCPROXY_TELEMETRY_PROPAGATE
  value: "true"
{{- end }}
{{- if $values.otel.enabled }}
- name: CCPROXY_TELEMETRY_EXPORT
  value: "true"
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ $values.otel.endpoint | quote }}
- name: OTEL_EXPORTER_OTLP_PROTOCOL
  value: {{ $values.otel.protocol }}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: OTEL_RESOURCE_ATTRIBUTES
  value: k8s.namespace.name={{ .Release.Namespace }},k8s.pod.name=$(POD_NAME),service.instance.id=$(POD_NAME)
{{- end }}
{{- if $values.demo }}
- name: CCPROXY_DEMO
  value: "true"
{{- end }}
{{- if $values.tls.enabled }}
- name: CCPROXY_HEALTH_PORT
  value: {{ $values.ports.health | quote }}
- name: CCPROXY_TLS_CERT_FILE
  value: /run/secrets/ccproxy-tls/tls.crt
- name: CCPROXY_TLS_KEY_FILE
  value: /run/secrets/ccproxy-tls/tls.key
{{- if $values.tls.clientCaSecretName }}
- name: CCPROXY_TLS_CLIENT_CA_FILE
  value: /run/secrets/ccproxy-tls/client-ca.crt
{{- end }}
{{- end }}
{{- range $values.secrets.providers }}
- name: {{ .env }}_FILE
  value: /run/secrets/ccproxy/providers/{{ .env }}
{{- end }}
{{- range $name, $_ := $values.secrets.create }}
- name: {{ $name }}_FILE
  value: /run/secrets/ccproxy/providers/{{ $name }}
{{- end }}
{{- end }}

{{- /* The pod's volumes. Folders, never a subPath: that would not follow a change. */}}
{{- define "ccproxy.volumes" -}}
{{- $values := .Values -}}
- name: config
  configMap:
    name: {{ include "ccproxy.configMapName" . }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      - secret:
          name: {{ include "ccproxy.proxySecret" . }}
          items:
            - key: {{ $values.secrets.proxy.key }}
              path: proxy-key
      - secret:
          name: {{ include "ccproxy.monitorSecret" . }}
          items:
            - key: {{ $values.secrets.monitor.key }}
              path: monitor-key
      {{- range $values.secrets.providers }}
      - secret:
          name: {{ .existingSecret }}
          items:
            - key: {{ .key }}
              path: providers/{{ .env }}
      {{- end }}
      {{- with $values.secrets.create }}
      - secret:
          name: {{ include "ccproxy.fullname" $ }}
          items:
            {{- range $name, $_ := . }}
            - key: {{ $name }}
              path: providers/{{ $name }}
            {{- end }}
      {{- end }}
# For the lock file, by which `kubectl exec ... ccproxy status` finds the process.
- name: state
  emptyDir:
    sizeLimit: 16Mi
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- if $values.tls.enabled }}
- name: tls
  projected:
    defaultMode: 0440
    sources:
      - secret:
          name: {{ $values.tls.secretName }}
          items:
            - key: tls.crt
              path: tls.crt
            - key: tls.key
              path: tls.key
      {{- with $values.tls.clientCaSecretName }}
      - secret:
          name: {{ . }}
          items:
            - key: ca.crt
              path: client-ca.crt
      {{- end }}
{{- end }}
{{- end }}
