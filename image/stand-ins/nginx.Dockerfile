# Stands in for the official nginx image: the same paths, user, configure arguments, entry point
# and stop signal. The build context is nginx's source tree.
FROM rust:1-bookworm AS build

RUN apt-get update \
    && apt-get install -y --no-install-recommends libpcre2-dev libssl-dev zlib1g-dev
COPY . /src
WORKDIR /src
RUN auto/configure \
        --prefix=/etc/nginx --sbin-path=/usr/sbin/nginx --modules-path=/usr/lib/nginx/modules \
        --conf-path=/etc/nginx/nginx.conf --error-log-path=/var/log/nginx/error.log \
        --http-log-path=/var/log/nginx/access.log --pid-path=/run/nginx.pid \
        --lock-path=/run/nginx.lock \
        --http-client-body-temp-path=/var/cache/nginx/client_temp \
        --http-proxy-temp-path=/var/cache/nginx/proxy_temp \
        --http-fastcgi-temp-path=/var/cache/nginx/fastcgi_temp \
        --http-uwsgi-temp-path=/var/cache/nginx/uwsgi_temp \
        --http-scgi-temp-path=/var/cache/nginx/scgi_temp \
        --user=nginx --group=nginx --with-compat --with-file-aio --with-threads \
        --with-http_addition_module --with-http_auth_request_module --with-http_dav_module \
        --with-http_flv_module --with-http_gunzip_module --with-http_gzip_static_module \
        --with-http_mp4_module --with-http_random_index_module --with-http_realip_module \
        --with-http_secure_link_module --with-http_slice_module --with-http_ssl_module \
        --with-http_stub_status_module --with-http_sub_module --with-http_v2_module \
        --with-http_v3_module --with-mail --with-mail_ssl_module --with-stream \
        --with-stream_realip_module --with-stream_ssl_module --with-stream_ssl_preread_module \
        --with-cc-opt='-O2 -fstack-protector-strong -Wp,-D_FORTIFY_SOURCE=2 -fPIC' \
        --with-ld-opt='-Wl,-z,relro -Wl,-z,now -Wl,--as-needed -pie' \
    && make -j"$(nproc)" \
    && make install DESTDIR=/out \
    && mkdir -p /out/usr/lib/nginx/modules /out/var/cache/nginx /out/docker-entrypoint.d \
    && ln -s /usr/lib/nginx/modules /out/etc/nginx/modules \
    && ln -sf /dev/stdout /out/var/log/nginx/access.log \
    && ln -sf /dev/stderr /out/var/log/nginx/error.log \
    && printf '#!/bin/sh\nexec "$@"\n' >/out/docker-entrypoint.sh \
    && chmod +x /out/docker-entrypoint.sh

FROM debian:bookworm-slim

RUN groupadd --system --gid 101 nginx \
    && useradd --system --gid nginx --no-create-home --home /nonexistent --shell /bin/false \
        --uid 101 nginx \
    && apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl gettext-base \
        libpcre2-8-0 libssl3 zlib1g \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /out /

ENTRYPOINT ["/docker-entrypoint.sh"]
EXPOSE 80
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]
