#!/bin/sh
# The first process of the container `worker`: deployments, GPU slots and automations on the server, then whatever
# comes due.
set -eu
poly-epo deploy
exec python -m prefect --no-prompt worker start --pool poly-epo --type process --limit 1 --with-healthcheck
