# The images of the services: a base with Node, and of ours nothing but one bundled file with its bill of materials and,
# where they write to Kafka, the native code of a checksum.
# docs/IMAGES.md tells how they are built; `npm run images` does it, from bundles that `npm run build` has made:
#
#   docker build --target controller --tag knative-kafka/controller:0.1.0 .
#
# Nothing runs during the build, so any base will do whose entrypoint starts Node with the command as its arguments:
# node:24-bookworm-slim, gcr.io/distroless/nodejs24-debian12, or one of your own.
ARG BASE_IMAGE=docker.io/library/node:24-bookworm-slim

FROM ${BASE_IMAGE} AS service
ARG BASE_IMAGE
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"
ENV NODE_ENV=production
WORKDIR /app
# A number, because Kubernetes can tell of a number that it is not root.
USER 65532:65532
# Not executable (see the modes below): the entrypoint of node:24 would run an executable file itself, without Node.
CMD ["/app/main.js"]

FROM service AS controller
LABEL org.opencontainers.image.title="knative-kafka controller" \
      org.opencontainers.image.description="Reconciles KafkaChannels, and Subscriptions and Channels where Knative Eventing is absent"
COPY --chmod=0444 packages/controller/bundle/*.js packages/controller/bundle/*.json /app/

FROM service AS channel-receiver
LABEL org.opencontainers.image.title="knative-kafka channel receiver" \
      org.opencontainers.image.description="Takes CloudEvents over HTTP and stores them in Apache Kafka"
COPY --chmod=0444 packages/channel-receiver/bundle/*.js packages/channel-receiver/bundle/*.json packages/channel-receiver/bundle/*.node /app/

FROM service AS dispatcher
LABEL org.opencontainers.image.title="knative-kafka dispatcher" \
      org.opencontainers.image.description="Delivers the events of a channel from Apache Kafka to its subscribers"
COPY --chmod=0444 packages/dispatcher/bundle/*.js packages/dispatcher/bundle/*.json packages/dispatcher/bundle/*.node /app/

FROM service AS standalone
LABEL org.opencontainers.image.title="knative-kafka standalone" \
      org.opencontainers.image.description="Receiver, dispatcher and channels from a folder of manifests in one process"
COPY --chmod=0444 packages/standalone/bundle/*.js packages/standalone/bundle/*.json packages/standalone/bundle/*.node /app/
