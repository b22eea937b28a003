{{/* Labels of everything here; with `component`, of what it belongs to. Argument: dict "root" $ "component" "..." */}}
{{- define "knative-kafka.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: knative-kafka
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: knative-kafka
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The metadata of an object, without its namespace. Argument: dict "root" "name" "component" "labels" "annotations" */}}
{{- define "knative-kafka.metadata" -}}
name: {{ .name }}
labels:
  {{- include "knative-kafka.labels" . | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Labels by which the pods of a component are selected. They must never change: a Deployment's cannot. */}}
{{- define "knative-kafka.selector" -}}
app.kubernetes.io/name: knative-kafka
app.kubernetes.io/component: {{ . }}
{{- end }}

{{/* An image. Argument: dict "root" $ "image" .Values.<component>.image */}}
{{- define "knative-kafka.image" -}}
{{- with .root.Values.image.registry }}{{ . }}/{{ end -}}
{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag | default .root.Chart.AppVersion }}{{ end }}
{{- end }}

{{/* What may be written into the container's own security context: next to nothing (Pod Security "restricted"). */}}
{{- define "knative-kafka.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "knative-kafka.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* A ServiceAccount as a subject of a binding. Argument: dict "root" $ "name" "..." */}}
{{- define "knative-kafka.subject" -}}
- kind: ServiceAccount
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
{{- end }}

{{/*
What the controller is told about pods that it makes: RECEIVER_POD, DISPATCHER_POD. Argument: dict "root" $ "values"
.Values.<component>
*/}}
{{- define "knative-kafka.pod" -}}
{{- $pod := pick .values "replicas" "logLevel" "resources" "env" "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "priorityClassName" }}
{{- $_ := set $pod "labels" (merge (dict) .values.podLabels .root.Values.commonLabels) }}
{{- $_ := set $pod "annotations" (merge (dict) .values.podAnnotations .root.Values.commonAnnotations) }}
{{- $_ := set $pod "imagePullSecrets" .root.Values.imagePullSecrets }}
{{- range $name, $value := $pod }}
{{- if and (empty $value) (ne $name "replicas") }}
{{- $_ := unset $pod $name }}
{{- end }}
{{- end }}
{{- toJson $pod }}
{{- end }}

{{/*
Whether a live object came from this chart: "yes", "no", or "absent". Helm's marks alone are not enough, because they
stay when Knative Eventing is applied over an object and takes it over; its own label tells. Argument: dict "root" $
"live" (lookup ...)
*/}}
{{- define "knative-kafka.whose" -}}
{{- if not .live -}}
absent
{{- else -}}
{{- $metadata := .live.metadata -}}
{{- $labels := $metadata.labels | default dict -}}
{{- $annotations := $metadata.annotations | default dict -}}
{{- $name := get $labels "app.kubernetes.io/name" -}}
{{- if eq $name "knative-kafka" -}}
yes
{{- else if and (eq $name "") (eq (get $annotations "meta.helm.sh/release-name") .root.Release.Name) (eq (get $annotations "meta.helm.sh/release-namespace") .root.Release.Namespace) -}}
yes
{{- else -}}
no
{{- end -}}
{{- end -}}
{{- end }}

{{/* "true" where Knative Eventing is installed, as far as can be told; else empty. */}}
{{- define "knative-kafka.hasKnativeEventing" -}}
{{- if kindIs "bool" .Values.knativeEventing.installed -}}
{{- if .Values.knativeEventing.installed }}true{{ end -}}
{{- else -}}
{{- $live := lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" "subscriptions.messaging.knative.dev" -}}
{{- if eq (include "knative-kafka.whose" (dict "root" . "live" $live)) "no" }}true{{ end -}}
{{- end -}}
{{- end }}

{{/*
"true" where something that Knative Eventing would bring has to come from here: it is missing, or is ours from before.
Argument: dict "root" $ "live" (lookup ...)
*/}}
{{- define "knative-kafka.standsIn" -}}
{{- if and (ne (toString .root.Values.knativeEventing.installed) "true") (ne (include "knative-kafka.whose" .) "no") }}true{{ end -}}
{{- end }}

{{/*
A setting that people change in the cluster too (`kubectl edit`, `kubectl set env`): what they chose stays for as long as
the values say what they said last time, which is why that is recorded; otherwise the values count. Argument: dict
"values" (what they say) "recorded" (what they said, empty when unknown) "live" (what is there, empty when nothing)
*/}}
{{- define "knative-kafka.kept" -}}
{{- if and .live (eq .recorded .values) }}{{ .live }}{{ else }}{{ .values }}{{ end -}}
{{- end }}

{{/* Annotation: what the values said of the settings in an object, as JSON. */}}
{{- define "knative-kafka.recordOfValues" -}}
kafka.eventing.knative.dev/chart-values
{{- end }}

{{/*
The ConfigMaps that people edit, as JSON: what the values say, and beside it what is to be written. Empty texts in
"live" where there is no cluster to look at.
*/}}
{{- define "knative-kafka.configMaps" -}}
{{- $features := dict
  "dead-letter-topic" .Values.features.deadLetterTopic
  "channels-topic-template" .Values.features.channelsTopicTemplate
  "dispatcher.rate-limiter" .Values.features.rateLimiter }}
{{- $consumers := dict
  "config-kafka-source-consumer.properties" (printf "# Of the consumers of KafkaSources, as Java properties; _example says what is read.\nmax.poll.records=%d\n" (int .Values.sources.maxPollRecords)) }}
{{- $all := dict }}
{{- range $name, $values := dict "config-kafka-features" $features "config-kafka-source-data-plane" $consumers }}
{{- $live := lookup "v1" "ConfigMap" $.Release.Namespace $name | default dict }}
{{- $annotations := (get $live "metadata" | default dict).annotations | default dict }}
{{- $recorded := get $annotations (include "knative-kafka.recordOfValues" $) | default "{}" | fromJson }}
{{- $data := dict }}
{{- range $key, $value := $values }}
{{- $_ := set $data $key (include "knative-kafka.kept" (dict "values" $value "recorded" (get $recorded $key) "live" (get (get $live "data" | default dict) $key))) }}
{{- end }}
{{- $_ := set $all $name (dict "values" $values "data" $data) }}
{{- end }}
{{- toJson $all }}
{{- end }}

{{/* POD_CAPACITY of the controller, which `kubectl set env` changes too. */}}
{{- define "knative-kafka.podCapacity" -}}
{{- $live := lookup "apps/v1" "Deployment" .Release.Namespace "kafka-controller" | default dict }}
{{- $annotations := (get $live "metadata" | default dict).annotations | default dict }}
{{- $recorded := get $annotations (include "knative-kafka.recordOfValues" .) | default "{}" | fromJson }}
{{- $found := "" }}
{{- if $live }}
{{- range (index $live.spec.template.spec.containers 0).env }}
{{- if eq .name "POD_CAPACITY" }}{{ $found = .value | default "" }}{{ end }}
{{- end }}
{{- end }}
{{- include "knative-kafka.kept" (dict "values" (toString .Values.sources.podCapacity) "recorded" (get $recorded "POD_CAPACITY") "live" $found) }}
{{- end }}

{{/* Labels by which the pod of `helm test` is selected. */}}
{{- define "knative-kafka.smokeTestLabels" -}}
app.kubernetes.io/name: knative-kafka-smoke-test
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
