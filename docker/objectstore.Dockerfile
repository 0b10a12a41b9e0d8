# An S3 server from Debian's packages (OpenStack Swift and its S3 interface) for the team's stack: MLflow's artifacts
# and DVC's remote. `make stack` builds it.
ARG BASE=python:3.11.14-slim-bookworm
FROM ${BASE}
RUN apt-get update -q \
 && apt-get install -y -q --no-install-recommends \
    swift-proxy swift-account swift-container swift-object memcached curl \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -o swift -g swift -m 700 /data
COPY --chmod=755 docker/objectstore.sh /usr/local/bin/start-objectstore
USER swift
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=5s --start-period=300s --retries=12 \
  CMD ["curl", "--silent", "--fail", "--output", "/dev/null", "http://127.0.0.1:8080/healthcheck"]
CMD ["start-objectstore"]
