{{- /* An Ingress to one port of the Service. Takes root, ingress, suffix, port. */}}
{{- define "ccproxy.ingress" -}}
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  {{- include "ccproxy.metadata" (dict "root" .root "suffix" .suffix "annotations" .ingress.annotations) | nindent 2 }}
spec:
  {{- with .ingress.className }}
  ingressClassName: {{ . }}
  {{- end }}
  {{- with .ingress.tls }}
  tls:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  rules:
    {{- range .ingress.hosts }}
    - host: {{ . | quote }}
      http:
        paths:
          - path: /
            pathType: Prefix
            backend:
              service:
                name: {{ include "ccproxy.fullname" $.root }}
                port:
                  name: {{ $.port }}
    {{- end }}
{{- end }}
