module knative-kafka/local-cluster/pause

go 1.24.0
