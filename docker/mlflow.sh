#!/bin/sh
# The first process of the container `mlflow`: logins in Postgres, nothing for anonymous visitors, no password in any
# command line.
set -eu
umask 077
cat > "$MLFLOW_AUTH_CONFIG_PATH" <<CONF
[mlflow]
# A user sees what its owner shares with it.
default_permission = NO_PERMISSIONS
# Hashing a password takes a good part of a second: once a minute for each login, not once a request.
auth_cache_ttl_seconds = 60
database_uri = $MLFLOW_USERS_URI
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
CONF
unset MLFLOW_USERS_URI
# One worker: a second brings a supervisor that ends workers which a busy machine keeps from answering in five seconds.
exec python -m mlflow server --app-name basic-auth --host 0.0.0.0 --port 5000 --workers 1
