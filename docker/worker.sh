#!/bin/sh
# The first process of the container `worker`: the project's deployments on the server, then whatever comes due.
set -eu
python -m prefect --no-prompt work-pool create poly-epo --type process --overwrite
python -m prefect --no-prompt deploy --all
exec python -m prefect --no-prompt worker start --pool poly-epo --type process --limit 1 --with-healthcheck
