{{- /*
What the schema cannot see: values that contradict each other. All of it is told at once.
*/}}
{{- define "ccproxy.validate" -}}
{{- $values := .Values }}
{{- $problems := list }}
{{- if and $values.autoscaling.enabled $values.keda.enabled }}
{{- $problems = append $problems "autoscaling and keda: only one can decide how many pods there are" }}
{{- end }}
{{- range $name := list "autoscaling" "keda" }}
{{- $scaler := index $values $name }}
{{- if and $scaler.enabled (gt (int $scaler.minReplicas) (int $scaler.maxReplicas)) }}
{{- $problems = append $problems (printf "%s: minReplicas is more than maxReplicas" $name) }}
{{- end }}
{{- end }}
{{- $auto := $values.autoscaling }}
{{- if and $auto.enabled (not $auto.targetCPUUtilizationPercentage) (not $auto.targetInFlightPerPod) }}
{{- $problems = append $problems "autoscaling: set a target to scale by" }}
{{- end }}
{{- if and $values.keda.enabled (not $values.keda.serverAddress) }}
{{- $problems = append $problems "keda.serverAddress: set the address of Prometheus" }}
{{- end }}
{{- $needed := add $values.shutdown.lameDuckSeconds $values.shutdown.drainSeconds | int }}
{{- if le (include "ccproxy.grace" . | int) $needed }}
{{- $problems = append $problems (printf "shutdown.terminationGracePeriodSeconds: must be more than lameDuckSeconds + drainSeconds = %d, else streams are cut" $needed) }}
{{- end }}
{{- if and $values.existingConfigMap $values.config }}
{{- $problems = append $problems "config and existingConfigMap: set one of them" }}
{{- end }}
{{- if and $values.demo (or $values.config.providers $values.secrets.providers $values.secrets.create) }}
{{- $problems = append $problems "demo: it stands in for the providers; set none, or turn it off" }}
{{- end }}
{{- $problems = concat $problems (include "ccproxy.configProblems" . | fromJsonArray) }}
{{- if and $values.tls.enabled (not $values.tls.secretName) }}
{{- $problems = append $problems "tls.secretName: name the Secret with the certificate" }}
{{- end }}
{{- if and $values.tls.clientCaSecretName (not $values.tls.enabled) }}
{{- $problems = append $problems "tls.clientCaSecretName: needs tls.enabled" }}
{{- end }}
{{- if and $values.tls.enabled $values.tls.clientCaSecretName (eq $values.probes.mode "http") }}
{{- $problems = append $problems "probes.mode: the kubelet has no certificate to show; use grpc" }}
{{- end }}
{{- if and $values.tls.clientCaSecretName (not $values.tls.monitorSecretName) (not $values.ports.metrics) (or $values.serviceMonitor.enabled $values.podMonitor.enabled) }}
{{- $problems = append $problems "tls.monitorSecretName: Prometheus needs a certificate to show, or set ports.metrics" }}
{{- end }}
{{- if ne (len (uniq (list (int $values.ports.http) (int $values.ports.grpc) (int $values.ports.health) (int $values.ports.metrics)))) 4 }}
{{- $problems = append $problems "ports: each needs a number of its own" }}
{{- end }}
{{- if and $values.otel.enabled (not $values.otel.endpoint) }}
{{- $problems = append $problems "otel.endpoint: set the collector's address" }}
{{- end }}
{{- range $name := list "httpRoute" "grpcRoute" }}
{{- $route := index $values $name }}
{{- if and $route.enabled (not $route.parentRefs) }}
{{- $problems = append $problems (printf "%s.parentRefs: name a gateway" $name) }}
{{- end }}
{{- end }}
{{- range $name := list "ingress" "ingressGrpc" }}
{{- $ingress := index $values $name }}
{{- if and $ingress.enabled (not $ingress.hosts) }}
{{- $problems = append $problems (printf "%s.hosts: name a host" $name) }}
{{- end }}
{{- end }}
{{- if and $values.serviceMonitor.enabled $values.podMonitor.enabled }}
{{- $problems = append $problems "serviceMonitor and podMonitor: with both, every number would be counted twice" }}
{{- end }}
{{- $alerts := list }}
{{- range (.Files.Get "files/rules.yaml" | fromYaml).groups }}
{{- range .rules }}
{{- $alerts = append $alerts .alert }}
{{- end }}
{{- end }}
{{- range $name, $_ := $values.prometheusRule.alerts }}
{{- if not (has $name $alerts) }}
{{- $problems = append $problems (printf "prometheusRule.alerts.%s: there is no such alert; there are %s" $name (join ", " $alerts)) }}
{{- end }}
{{- end }}
{{- if $problems }}
{{- printf "\n\nThe values contradict each other:\n  - %s\n" (join "\n  - " $problems) | fail }}
{{- end }}
{{- end }}

{{- /* What of `config` belongs elsewhere, as a JSON array of texts: the chart's own values, and secrets. */}}
{{- define "ccproxy.configProblems" -}}
{{- $problems := list }}
{{- $places := dict
  "host" "app.host"
  "port" "ports.http"
  "grpc_port" "ports.grpc"
  "health_port" "ports.health"
  "metrics_port" "ports.metrics"
  "grpc_reflection" "app.grpcReflection"
  "apikey" "secrets.proxy"
  "apikey_file" "secrets.proxy"
  "trust_localhost" "app.trustLocalhost"
  "log_level" "app.logLevel"
  "log_format" "app.logFormat"
  "shutdown_timeout" "shutdown.drainSeconds"
  "drain_delay" "shutdown.lameDuckSeconds"
  "demo" "demo"
  "tls" "tls"
  "telemetry" "otel"
}}
{{- range $key, $place := $places }}
{{- if hasKey $.Values.config $key }}
{{- $problems = append $problems (printf "config.%s: set %s instead" $key $place) }}
{{- end }}
{{- end }}
{{- $holders := dict }}
{{- range $index, $provider := .Values.config.providers }}
{{- $_ := set $holders (printf "providers[%d].api_key" $index) (get $provider "api_key") }}
{{- range $number, $endpoint := $provider.endpoints }}
{{- $_ := set $holders (printf "providers[%d].endpoints[%d].api_key" $index $number) (get $endpoint "api_key") }}
{{- end }}
{{- end }}
{{- range $index, $key := .Values.config.keys }}
{{- $_ := set $holders (printf "keys[%d].key" $index) (get $key "key") }}
{{- end }}
{{- range $place, $text := $holders }}
{{- if and $text (not (regexMatch "^\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}$" $text)) }}
{{- $problems = append $problems (printf "config.%s: a ConfigMap is no place for a secret; write ${NAME} and set NAME in extraEnv, or use secrets.providers" $place) }}
{{- end }}
{{- end }}
{{- $problems | toJson }}
{{- end }}
