# A stand-in for the official rust image. The build context is a Rust toolchain of this machine.
FROM debian:bookworm-slim

ENV CARGO_HOME=/usr/local/cargo PATH=/usr/local/cargo/bin:$PATH

RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev make \
    && rm -rf /var/lib/apt/lists/*

COPY bin/cargo bin/rustc /usr/local/bin/
COPY lib /usr/local/lib
