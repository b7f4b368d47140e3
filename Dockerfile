# The official nginx image with the module, a configuration that reads the environment, a health
# check, and an entry point that can hold nginx back while the container is taken out.
# docs/image.md tells how to build and to run it.

# nginx/versions says the same, and nginx/SHA256SUMS has the checksum of that version.
ARG NGINX_VERSION=1.30.6

# nginx loads a module that was built for the same version with the same options, so it is asked.
FROM nginx:${NGINX_VERSION} AS official
RUN nginx -V 2>&1 | sed -n 's/^configure arguments: //p' >/configure-arguments

# Stands aside for `--build-context nginx-source=FOLDER`, the source of that version.
FROM scratch AS nginx-source
COPY nginx/SHA256SUMS /

FROM rust:1.95.0-bookworm AS build

# libclang reads nginx's headers for the bindings, and nginx's configure looks for the libraries.
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        ca-certificates clang curl libclang-dev libpcre2-dev libssl-dev zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*

# nginx's source, configured as the binary is. It is not compiled; the dynamic modules of others
# are left out, with the libraries that they need.
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

# The dependencies have a layer of their own, which a change in src/, crates/ or build.rs leaves alone:
# what stands in for the crates is as old as can be. All of the workspace stand here, because
# Cargo.lock is about all of them. The benchmarks and their like, which the Cargo.toml list, are not
# copied, so they must not list them.
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

# `cargo rustc` with one crate type, because a plain release build makes an rlib too and then
# drops link-time optimization without a word. The build fails where the bindings do not fit nginx.
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

# Ours goes on with that of nginx's image. An ENTRYPOINT drops the CMD that is inherited.
ENTRYPOINT ["elb-entrypoint", "/docker-entrypoint.sh"]
CMD ["nginx", "-g", "daemon off;"]

# Requests under way are answered before the container stops.
STOPSIGNAL SIGQUIT

HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["elb-healthcheck"]
