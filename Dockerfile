# The official nginx image with the module, a configuration that reads the environment, a health
# check, and an entry point that can delay the stop of nginx while the load balancer drains the
# container. docs/image.md describes how to build and run it.

# nginx/versions has the same version, and nginx/SHA256SUMS its checksum.
ARG NGINX_VERSION=1.30.6

# nginx loads only modules built for the same version with the same options; these come from its
# binary.
FROM nginx:${NGINX_VERSION} AS official
RUN nginx -V 2>&1 | sed -n 's/^configure arguments: //p' >/configure-arguments

# Empty unless replaced by `--build-context nginx-source=FOLDER`, the source of that version.
FROM scratch AS nginx-source
COPY nginx/SHA256SUMS /

FROM rust:1.95.0-bookworm AS build

# libclang reads nginx's headers for the bindings, and nginx's configure checks for the libraries.
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        ca-certificates clang curl libclang-dev libpcre2-dev libssl-dev zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*

# nginx's source, configured as the binary was. It is not compiled; third-party dynamic modules and
# their libraries are left out.
ARG NGINX_VERSION
WORKDIR /nginx
COPY nginx/SHA256SUMS ./
COPY --from=official /configure-arguments ./
COPY --from=nginx-source / source/
RUN set -e; archive=nginx-$NGINX_VERSION.tar.gz; \
    if [ ! -e source/configure ]; then \
        curl -fsSLO "https://nginx.org/download/$archive"; \
        grep "  $archive\$" SHA256SUMS >expected \
            || { echo "nginx/SHA256SUMS has no checksum of $archive"; exit 1; }; \
        sha256sum --check expected; \
        tar -xf "$archive" --strip-components 1 -C source; \
    fi; \
    grep -q "\"$NGINX_VERSION\"" source/src/core/nginx.h \
        || { echo "the source given is not of nginx $NGINX_VERSION"; exit 1; }; \
    cd source; \
    eval "./configure $(sed -E 's/--with-[a-z0-9_]+=dynamic//g' ../configure-arguments)"
ENV NGINX_SOURCE_DIR=/nginx/source NGINX_BUILD_DIR=/nginx/source/objs

WORKDIR /src

# The dependencies have their own layer, which does not change with src/, crates/ or build.rs: the
# placeholders for the crates have the oldest possible date. All members of the workspace are
# needed, because Cargo.lock covers all of them. The benchmarks and similar targets are not copied,
# so they are removed from the Cargo.toml files that list them.
COPY Cargo.toml Cargo.lock ./
COPY bench/Cargo.toml bench/
COPY crates/nginx/Cargo.toml crates/nginx/
COPY crates/websocket-tunnel/Cargo.toml crates/websocket-tunnel/
COPY fuzz/Cargo.toml fuzz/
COPY xtask/Cargo.toml xtask/
RUN sed -i '/^\[\[/,/^$/d' Cargo.toml */Cargo.toml crates/*/Cargo.toml \
    && for crate in . bench crates/* fuzz xtask; do \
        mkdir $crate/src \
        && echo '//! Stands in for the crate while its dependencies are built.' >$crate/src/lib.rs \
        || exit 1; \
    done \
    && mkdir crates/nginx/build \
    && sed '$a fn main() {}' src/lib.rs | tee build.rs >crates/nginx/build/main.rs \
    && touch -d @0 build.rs crates/nginx/build/main.rs src/lib.rs crates/*/src/lib.rs \
    && cargo rustc --release --locked --lib --crate-type cdylib \
        --no-default-features --features export-modules

# `cargo rustc` with one crate type, because a plain release build also makes an rlib and then
# silently drops link-time optimization. The build fails if the bindings do not match nginx.
COPY build.rs ./
COPY crates/nginx/build crates/nginx/build
COPY crates/nginx/src crates/nginx/src
COPY crates/websocket-tunnel/src crates/websocket-tunnel/src
COPY src src
RUN touch build.rs crates/nginx/build/main.rs src/lib.rs crates/*/src/lib.rs \
    && cargo rustc --release --locked --lib --crate-type cdylib \
        --no-default-features --features export-modules

FROM nginx:${NGINX_VERSION}
ARG NGINX_VERSION

LABEL org.opencontainers.image.title="ngx-elb-websocket" \
    org.opencontainers.image.description="WebSocket front for applications behind an AWS load balancer" \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.base.name="docker.io/library/nginx:${NGINX_VERSION}"

COPY --from=build /src/target/release/libngx_http_elb_websocket_module.so \
    /usr/lib/nginx/modules/ngx_http_elb_websocket_module.so
COPY nginx/nginx.conf /etc/nginx/nginx.conf
COPY nginx/healthcheck /usr/local/bin/elb-healthcheck
COPY nginx/entrypoint /usr/local/bin/elb-entrypoint

# This script continues with the entry point of nginx's image. An ENTRYPOINT resets the inherited
# CMD.
ENTRYPOINT ["elb-entrypoint", "/docker-entrypoint.sh"]
CMD ["nginx", "-g", "daemon off;"]

# Requests in progress are answered before the container stops.
STOPSIGNAL SIGQUIT

HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["elb-healthcheck"]
