#!/bin/sh
# The first process of the container `postgres`: makes the cluster and its databases on an empty volume, then serves.
set -eu
: "${POSTGRES_PASSWORD:?}"

if [ ! -e /data/cluster/PG_VERSION ]; then
  # Made beside its place and moved there: killed half-way, the next start begins again.
  rm -rf /data/new
  umask 077
  printf '%s' "$POSTGRES_PASSWORD" > /tmp/password
  initdb -D /data/new -U poly_epo -E UTF8 --locale=C.UTF-8 --auth-local=trust --auth-host=scram-sha-256 --pwfile=/tmp/password
  rm /tmp/password
  echo "host all all all scram-sha-256" >> /data/new/pg_hba.conf
  pg_ctl -D /data/new -w -o "-c listen_addresses=" start
  for name in prefect mlflow mlflow_users; do createdb -U poly_epo "$name"; done
  pg_ctl -D /data/new -w -m fast stop
  mv /data/new /data/cluster
fi
unset POSTGRES_PASSWORD
exec postgres -D /data/cluster -c listen_addresses='*' -c max_connections=200
