# PostgreSQL 15 from Debian's packages, for the team's stack: databases of Prefect and MLflow. `make stack` builds it.
ARG BASE=python:3.11.14-slim-bookworm
FROM ${BASE}
RUN apt-get update -q \
 && apt-get install -y -q --no-install-recommends postgresql-15 \
 && rm -rf /var/lib/apt/lists/* /var/lib/postgresql/15 \
 && install -d -o postgres -g postgres -m 700 /data
COPY --chmod=755 docker/postgres.sh /usr/local/bin/start-postgres
ENV PATH=/usr/lib/postgresql/15/bin:$PATH LANG=C.UTF-8
USER postgres
VOLUME /data
EXPOSE 5432
# A fast shutdown: what SIGTERM asks for waits until every client has gone.
STOPSIGNAL SIGINT
# Over TCP: while the databases are being made the server answers on its socket alone.
HEALTHCHECK --interval=5s --timeout=5s --start-period=300s --retries=12 CMD ["pg_isready", "-q", "-h", "127.0.0.1", "-U", "poly_epo", "-d", "prefect"]
CMD ["start-postgres"]
