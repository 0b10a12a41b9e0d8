#!/bin/sh
# The team's stack (docker/compose.yaml) as one command.
#
#   docker/stack.sh up               build what is missing, start everything, return when all of it is healthy
#   docker/stack.sh status           the state of every container
#   docker/stack.sh env              lines that point a shell on this machine at the stack
#   docker/stack.sh backup DIR       databases and objects into the new directory DIR, while everything works
#   docker/stack.sh restore DIR      such a backup in the place of what the stack holds
#   docker/stack.sh down             end it; the volumes stay (down --volumes: they go too)
#
#   POLY_EPO_STACK=NAME              another stack beside this one (default poly-epo), with settings of its own in
#                                    docker/.env.NAME; PREFECT_PORT, MLFLOW_PORT, S3_PORT and DASHBOARD_PORT choose its
#                                    ports when it is first started
set -eu
cd "$(dirname "$0")/.."

stack=${POLY_EPO_STACK:-poly-epo}
settings=docker/.env
[ "$stack" = poly-epo ] || settings=docker/.env.$stack
databases="prefect mlflow mlflow_users"
buckets="mlflow dvc-remote"

fail() { echo "error: $1" >&2; exit 2; }
secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

compose() {
  # Version 2 is a plugin, version 1 a program of its own.
  if docker compose version >/dev/null 2>&1; then
    docker compose --project-name "$stack" --env-file "$settings" --file docker/compose.yaml "$@"
  else
    docker-compose --project-name "$stack" --env-file "$settings" --file docker/compose.yaml "$@"
  fi
}

# Secrets and addresses, made once. Nothing has a default password.
make_settings() {
  [ -e "$settings" ] && return
  umask 077
  cat > "$settings.new" <<SETTINGS
# Made by docker/stack.sh for this machine; git ignores it. Keep it as you keep passwords.
POLY_EPO_ROOT=$PWD
POLY_EPO_UID=$(stat -c %u .)
POLY_EPO_GID=$(stat -c %g .)
POSTGRES_PASSWORD=$(secret)
S3_ACCESS_KEY=team:poly-epo
S3_SECRET_KEY=$(secret)
PREFECT_LOGIN=team:$(secret)
MLFLOW_USERNAME=poly-epo
MLFLOW_PASSWORD=$(secret)
MLFLOW_SECRET_KEY=$(secret)
DASHBOARD_TOKEN=$(secret)
POLY_EPO_WEBHOOK_URL=${POLY_EPO_WEBHOOK_URL:-}
PREFECT_PORT=${PREFECT_PORT:-4200}
MLFLOW_PORT=${MLFLOW_PORT:-5000}
S3_PORT=${S3_PORT:-9000}
DASHBOARD_PORT=${DASHBOARD_PORT:-8777}
SETTINGS
  mv "$settings.new" "$settings"
}

need_settings() { [ -e "$settings" ] || fail "no stack has been started here: $settings is missing -> docker/stack.sh up"; }
value() { sed -n "s/^$1=//p" "$settings"; }

build_missing() {
  missing=""
  for name in cpu postgres objectstore; do
    docker image inspect "poly-epo/$name" >/dev/null 2>&1 || missing="$missing $name"
  done
  # shellcheck disable=SC2086  # names without spaces
  [ -z "$missing" ] || docker/build.sh $missing
}

# Return when the services $@ are healthy; fail when one is not, or ends.
wait_healthy() {
  for service in "$@"; do
    for _ in $(seq 300); do
      state=$(docker inspect --format '{{.State.Status}} {{.State.Health.Status}}' "$(compose ps -q "$service")" 2>/dev/null || true)
      case $state in "running healthy") break ;; *unhealthy|exited*) break ;; esac
      sleep 1
    done
    [ "$state" = "running healthy" ] || { compose logs --tail 20 "$service" >&2; fail "$service is not healthy: $state"; }
  done
}

up() {
  docker info >/dev/null 2>&1 || fail "no Docker engine answers -> start it"
  make_settings
  build_missing
  # The project's state must belong to the worker's user before the engine makes it as root.
  mkdir -p .poly-epo
  compose up --detach --remove-orphans
  wait_healthy postgres objectstore prefect mlflow worker dashboard
  echo "Prefect    http://127.0.0.1:$(value PREFECT_PORT)        login PREFECT_LOGIN"
  echo "MLflow     http://127.0.0.1:$(value MLFLOW_PORT)        login MLFLOW_USERNAME, MLFLOW_PASSWORD"
  echo "dashboard  http://127.0.0.1:$(value DASHBOARD_PORT)        token DASHBOARD_TOKEN"
  echo "S3         http://127.0.0.1:$(value S3_PORT)        keys S3_ACCESS_KEY, S3_SECRET_KEY; buckets $buckets"
  echo "The logins are in $settings; \`eval \"\$(docker/stack.sh env)\"\` points this shell at the stack."
}

environment() {
  need_settings
  store=http://127.0.0.1:$(value S3_PORT)
  cat <<ENVIRONMENT
export PREFECT_API_URL=http://127.0.0.1:$(value PREFECT_PORT)/api
export PREFECT_API_AUTH_STRING=$(value PREFECT_LOGIN)
export MLFLOW_TRACKING_URI=http://127.0.0.1:$(value MLFLOW_PORT)
export MLFLOW_TRACKING_USERNAME=$(value MLFLOW_USERNAME)
export MLFLOW_TRACKING_PASSWORD=$(value MLFLOW_PASSWORD)
export AWS_ACCESS_KEY_ID=$(value S3_ACCESS_KEY)
export AWS_SECRET_ACCESS_KEY=$(value S3_SECRET_KEY)
export AWS_DEFAULT_REGION=us-east-1
export AWS_ENDPOINT_URL=$store
export AWS_ENDPOINT_URL_S3=$store
export MLFLOW_S3_ENDPOINT_URL=$store
ENVIRONMENT
}

# objects.py in a container beside the store, with the directory $1 mounted as /backup.
objects() {
  directory=$1; shift
  compose run --rm -T --no-deps --user "$(id -u):$(id -g)" --volume "$directory:/backup" buckets \
    python /opt/poly-epo/objects.py "$@"
}

backup() {
  need_settings
  [ -n "${1:-}" ] && [ ! -e "$1" ] || fail "name a directory that does not exist yet"
  umask 077
  mkdir -p "$1.partial/databases"
  directory=$(cd "$1.partial" && pwd)
  # The databases first: every object that they name is then in the copy of the objects.
  for database in $databases; do
    compose exec -T postgres pg_dump -U poly_epo --format custom "$database" > "$directory/databases/$database.dump"
  done
  # shellcheck disable=SC2086
  objects "$directory" save /backup/objects $buckets
  grep '^MLFLOW_' "$settings" > "$directory/logins.env"
  (cd "$directory" && find . -type f ! -name SHA256SUMS -exec sha256sum {} + > SHA256SUMS && sync)
  mv "$directory" "$1"
  echo "$1: $(du -sh "$1" | cut -f 1), it holds MLflow's admin password"
}

restore() {
  directory=$(cd "${1:?name the directory of a backup}" && pwd)
  (cd "$directory" && sha256sum --quiet --check SHA256SUMS) || fail "the backup is damaged: $directory"
  make_settings
  # MLflow's users come back with the passwords they had.
  for name in MLFLOW_USERNAME MLFLOW_PASSWORD MLFLOW_SECRET_KEY; do
    sed -i "s|^$name=.*|$(grep "^$name=" "$directory/logins.env")|" "$settings"
  done
  build_missing
  compose stop worker dashboard mlflow prefect 2>/dev/null
  compose up --detach postgres objectstore
  wait_healthy postgres objectstore
  for database in $databases; do
    compose exec -T postgres pg_restore -U poly_epo --clean --if-exists --exit-on-error --single-transaction \
      --dbname "$database" < "$directory/databases/$database.dump"
  done
  # shellcheck disable=SC2086
  objects "$directory" load /backup/objects $buckets
  up
}

command=${1:-}
[ $# -eq 0 ] || shift
case $command in
  up) up ;;
  status) need_settings; compose ps ;;
  env) environment ;;
  backup) backup "$@" ;;
  restore) restore "$@" ;;
  down) need_settings; compose down --remove-orphans "$@" ;;
  *) sed -n '2,15s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
