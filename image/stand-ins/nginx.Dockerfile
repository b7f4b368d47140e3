# A stand-in for the official nginx image: the same paths, user, entry point and stop signal. The
# build context has Debian's nginx binary and, in lib/, the libraries that it loads from
# /usr/lib/nginx/lib.
FROM debian:bookworm-slim

RUN groupadd --system --gid 101 nginx \
    && useradd --system --gid nginx --no-create-home --home /nonexistent --shell /bin/false \
        --uid 101 nginx \
    && apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl gettext-base \
    && rm -rf /var/lib/apt/lists/*

COPY nginx /usr/sbin/nginx
COPY lib /usr/lib/nginx/lib
RUN mkdir -p /etc/nginx /usr/share/nginx /usr/lib/nginx/modules /var/lib/nginx \
        /var/log/nginx /docker-entrypoint.d \
    && ln -s /usr/lib/nginx/modules /etc/nginx/modules \
    && ln -s /usr/lib/nginx/modules /usr/share/nginx/modules \
    && ln -sf /dev/stdout /var/log/nginx/access.log \
    && ln -sf /dev/stderr /var/log/nginx/error.log \
    && printf '#!/bin/sh\nexec "$@"\n' >/docker-entrypoint.sh \
    && chmod +x /docker-entrypoint.sh

ENTRYPOINT ["/docker-entrypoint.sh"]
EXPOSE 80
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]
