# Flagstone in a container: one static binary, and nothing else.
#
#   scripts/build-image                 builds, checks and prints the size
#   docker build -t flagstone .         the same by hand
#   docker run --memory 64m --read-only --cap-drop ALL -p 127.0.0.1:7171:7171 -p 127.0.0.1:7172:7172 flagstone
#
# Why it looks plain: it is read by the legacy builder as well as by BuildKit, so there is no `# syntax=` line, no
# `RUN --mount`, no heredoc and no `COPY --chmod`. Both bases are arguments, so that it also builds where no image
# registry can be reached (`scripts/local-base-image` makes a builder from Debian packages).

ARG BUILDER_IMAGE=rust:1.95-bookworm
ARG RUNTIME_IMAGE=scratch

FROM ${BUILDER_IMAGE} AS builder
WORKDIR /src
COPY . .
# - The target is the builder's own, so that arm64 builds as amd64 does. It is named even so: without `--target`,
#   RUSTFLAGS would reach proc macros and build scripts too, and those cannot be linked statically.
# - Line tables stay in debug builds: they would double the image. Symbol names stay, so that a backtrace can be read.
RUN target="$(rustc --print host-tuple)" \
    && CARGO_PROFILE_RELEASE_DEBUG=false \
       CARGO_PROFILE_RELEASE_STRIP=debuginfo \
       RUSTFLAGS='-C target-feature=+crt-static' \
       cargo build --release --locked --target "$target" --package flagstone-server --bin flagstone \
    && mkdir /out \
    && cp "target/$target/release/flagstone" /out/flagstone \
    && /out/flagstone --version

FROM ${RUNTIME_IMAGE}
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Flagstone" \
      org.opencontainers.image.description="A cache server that stays inside its container's memory limit" \
      org.opencontainers.image.source="https://github.com/flagstone-cache/flagstone" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=builder /out/flagstone /flagstone
# A number, not a name: scratch has no /etc/passwd, and Kubernetes' `runAsNonRoot` can only check numbers.
USER 65532:65532
# All addresses, because a container's loopback is nobody's but its own; what is published decides who gets in.
# Of both families; where there is no IPv6, the server says so and goes on without.
ENV FLAGSTONE_LISTEN=0.0.0.0:7171,[::]:7171 FLAGSTONE_ADMIN=[::]:7172
EXPOSE 7171 7172
# The exec form: there is no shell here. The subcommand opens one connection to FLAGSTONE_LISTEN's port and asks.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["/flagstone", "healthcheck"]
ENTRYPOINT ["/flagstone"]
