# syntax=docker/dockerfile:1
# hookgate and the system's roots, nothing else: no shell, no package manager, no user but a number.
#
#   docker build --build-arg HOOKGATE_COMMIT="$(git log -1 --format='%h, %cs')" --tag hookgate .
#   docker run --rm --read-only --cap-drop ALL --publish 127.0.0.1:10006:10006 hookgate --listen 0.0.0.0:10006
#
# Binaries that are there already, in a folder as out/amd64/hookgate, are taken with --build-context binary=FOLDER.

FROM rust:1.95-bookworm AS binary
ARG TARGETARCH
WORKDIR /source
COPY . .
# What hookgate --version says of the commit: the clone is not copied.
ARG HOOKGATE_COMMIT
# The list of dependencies goes into the binary, where scanners of images look for it.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target,id=hookgate-$TARGETARCH \
    cargo install --quiet --locked cargo-auditable@0.7.7 \
    && deploy/binary/build "/out/$TARGETARCH/hookgate"

FROM --platform=$BUILDPLATFORM debian:bookworm-slim AS roots
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && install --directory --mode 0700 --owner 65532 --group 65532 /data

FROM scratch
ARG TARGETARCH
COPY --from=roots /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# Where After events are kept with HOOKGATE_DATA=/var/lib/hookgate: a volume takes its owner from here.
COPY --from=roots --chown=65532:65532 /data /var/lib/hookgate
COPY --from=binary /out/${TARGETARCH}/hookgate /hookgate
LABEL org.opencontainers.image.title="hookgate" \
      org.opencontainers.image.description="OpenIM webhooks in, gRPC policy out" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
USER 65532:65532
EXPOSE 10006 10007
STOPSIGNAL SIGTERM
# Asks the admin listener at 127.0.0.1:10007; one elsewhere needs `health --live --admin URL`, or --no-healthcheck. It passes
# without a policy too, as swarms restart what is unhealthy. Kubernetes has probes of its own.
HEALTHCHECK --interval=10s --timeout=5s --start-period=1h CMD ["/hookgate", "health", "--live"]
ENTRYPOINT ["/hookgate"]
