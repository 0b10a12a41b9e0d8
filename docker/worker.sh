#!/bin/sh
# The first process of the container `worker`: deployments, GPU slots and automations on the server, then whatever
# comes due: each deployment once at a time, so that a rollback does not wait for a retrain.
set -eu
poly-epo deploy
exec python -m prefect --no-prompt worker start --pool poly-epo --type process --limit 4 --with-healthcheck
