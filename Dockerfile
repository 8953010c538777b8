# The same scripts that a developer runs: `make setup build`, then the few files that serve.
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make python3 python3-pip \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src

# The library changes seldom: its own layer.
COPY Makefile ./
COPY scripts ./scripts
RUN make setup

COPY . .
# The caches keep compiled dependencies between builds; what is needed is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    make build \
    && mkdir -p /out/lib /out/opt/models /out/var \
    && cp target/release/mom /out/mom \
    && cp .runtime/onnxruntime-*/* /out/lib/ \
    && cp -R models/onnx /out/opt/models/ \
    && cp config.toml LICENSE /out/opt/

# glibc, libstdc++ and CA certificates; no shell, no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/mom /usr/local/bin/mom
COPY --from=build /out/lib /usr/lib/mom
COPY --from=build /out/opt /opt/mom
# The ledger outlives the container.
COPY --from=build --chown=nonroot:nonroot /out/var /var/lib/mom
VOLUME /var/lib/mom
WORKDIR /opt/mom
# Inside a container loopback reaches nobody. Without client keys the gateway still refuses
# to start on these addresses unless MOM_SERVER__ALLOW_UNAUTHENTICATED says it may.
ENV MOM_SERVER__LISTEN=0.0.0.0:8080 MOM_SERVER__ADMIN_LISTEN=0.0.0.0:8081 MOM_LEDGER__PATH=/var/lib/mom/ledger.db
USER nonroot
EXPOSE 8080 8081
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["mom", "health"]
ENTRYPOINT ["mom"]
CMD ["serve"]
