# The official nginx image with the module, a configuration that reads the environment, a health
# check, and an entry point that can hold nginx back while the container is taken out.
# docs/image.md tells how to run it.

FROM rust:1-bookworm AS build

# libclang reads nginx's headers for the bindings; the other three are what nginx links with.
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        clang libclang-dev libpcre2-dev libssl-dev zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /src

# The dependencies have a layer of their own, which a change in src/ leaves alone. The largest is
# nginx itself. Two files get an old date because the build script of nginx-sys both watches and
# writes them: the layer below would take them for changed and build it all once more.
# The benchmarks and their like, which Cargo.toml lists, are not copied, so it must not list them.
# build.rs hashes the status page, so one stands in for that too.
COPY Cargo.toml Cargo.lock build.rs ./
COPY .cargo .cargo
RUN sed -i '/^\[\[/,/^$/d' Cargo.toml \
    && mkdir -p src/metrics \
    && echo '//! Stands in for the crate while its dependencies are built.' >src/lib.rs \
    && echo '<style></style><script></script>' >src/metrics/status.html \
    && cargo rustc --release --locked --lib --crate-type cdylib \
    && touch -d @0 target/release/build/nginx-sys-*/out/objs/Makefile \
        target/release/build/nginx-sys-*/out/objs/ngx_auto_config.h

# `cargo rustc` with one crate type, because a plain release build makes an rlib too and then
# drops link-time optimization without a word.
COPY src src
RUN touch src/lib.rs src/metrics/status.html \
    && cargo rustc --release --locked --lib --crate-type cdylib

# The version whose source the nginx-src crate in Cargo.lock carries; nginx loads no module that
# was built for another.
FROM nginx:1.28.3

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
