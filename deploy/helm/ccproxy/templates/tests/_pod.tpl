{{- /*
A pod of `helm test`, made of the image itself and as restricted as the others. Takes root, suffix, command, and if
wanted env (variables from Secrets).
*/}}
{{- define "ccproxy.testPod" -}}
{{- $values := .root.Values }}
apiVersion: v1
kind: Pod
metadata:
  {{- $hook := dict "helm.sh/hook" "test" "helm.sh/hook-delete-policy" "before-hook-creation,hook-succeeded" }}
  {{- $test := dict "app.kubernetes.io/component" "test" }}
  {{- include "ccproxy.metadata" (dict "root" .root "suffix" .suffix "annotations" $hook "labels" $test) | nindent 2 }}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  enableServiceLinks: false
  securityContext:
    {{- toYaml $values.podSecurityContext | nindent 4 }}
  {{- with $values.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: test
      image: {{ include "ccproxy.image" .root }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      command:
        {{- toYaml .command | nindent 8 }}
      {{- with .env }}
      env:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      resources:
        {{- toYaml $values.resources | nindent 8 }}
      securityContext:
        {{- toYaml $values.securityContext | nindent 8 }}
{{- end }}

{{- /* A command that asks the Service for a path, as a JSON array. Takes root, path, and if wanted header. */}}
{{- define "ccproxy.curl" -}}
{{- $tls := .root.Values.tls.enabled }}
{{- $command := list "curl" "--fail" "--silent" "--show-error" "--max-time" "10" "--output" "/dev/null" }}
{{- if $tls }}
{{- /* The Service's name need not be in the certificate. */}}
{{- $command = append $command "--insecure" }}
{{- end }}
{{- with .header }}
{{- $command = concat $command (list "--header" .) }}
{{- end }}
{{- $host := printf "%s.%s.svc" (include "ccproxy.fullname" .root) .root.Release.Namespace }}
{{- append $command (printf "%s://%s:%d%s" (ternary "https" "http" $tls) $host (int .root.Values.ports.http) .path) | toJson }}
{{- end }}
