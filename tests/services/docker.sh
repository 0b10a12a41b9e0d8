#!/usr/bin/env bash
# A Docker engine, and a base image for builds where no registry is within reach. Idempotent; needs root on Debian.
#
#   tests/services/docker.sh       prints the line that makes docker/build.sh use that base image
#
# The engine goes on after this script ends; /var/run/docker.pid holds its process id.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
base=poly-epo/base:bookworm

packages=()
command -v dockerd >/dev/null || packages+=(docker.io iptables)
command -v docker-compose >/dev/null || docker compose version >/dev/null 2>&1 || packages+=(docker-compose)
command -v debootstrap >/dev/null || packages+=(debootstrap)
if [ "${#packages[@]}" -gt 0 ]; then
  apt-get update -q >&2
  apt-get -o DPkg::Lock::Timeout=600 install -y -q --no-install-recommends "${packages[@]}" >&2
fi

if ! docker info >/dev/null 2>&1; then
  setsid dockerd </dev/null >/var/log/dockerd.log 2>&1 &
  for _ in $(seq 60); do docker info >/dev/null 2>&1 && break; sleep 1; done
  docker info >/dev/null || { tail -5 /var/log/dockerd.log >&2; exit 1; }
fi

if ! docker image inspect "$base" >/dev/null 2>&1; then
  directory=$(mktemp -d)
  trap 'rm -rf "$directory"' EXIT
  # Only what the images keep; a build fetches its compiler itself.
  debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv,git \
    bookworm "$directory" >&2
  tar -C "$directory" -c --exclude='./proc/*' --exclude='./sys/*' --exclude='./dev/*' --exclude='./var/cache/apt/*' \
    --exclude='./var/lib/apt/lists/*' --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' \
    --exclude='./usr/share/locale/*' . | docker import --change 'CMD ["python3"]' - "$base" >&2
fi
echo "export POLY_EPO_BASE_IMAGE=$base"
