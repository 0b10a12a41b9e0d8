# Image for every stage on a CPU: data, gates, base policy, training of small models, evaluation, registry, flows.
#
#   docker build -f docker/cpu.Dockerfile -t poly-epo:cpu .
#   docker run --rm -v "$PWD":/project -w /project --user "$(id -u):$(id -g)" poly-epo:cpu dvc repro
#
# BASE is a build argument so that a mirror or a local base can stand in for the public one.
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE} AS build
# Wheels of torch without CUDA come from wherever pip is configured to look, e.g. with PIP_EXTRA_INDEX_URL.
ARG PIP_EXTRA_INDEX_URL=""
ARG PIP_FIND_LINKS=""
WORKDIR /source
COPY constraints.txt .
RUN python3 -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir --no-deps -r constraints.txt
COPY pyproject.toml README.md LICENSE ./
COPY components components
COPY flows flows
RUN /opt/venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM ${BASE}
RUN command -v git >/dev/null || (apt-get update && apt-get install -y --no-install-recommends git && rm -rf /var/lib/apt/lists/*)
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH DVC_NO_ANALYTICS=1 HOME=/tmp
# Never root: run with the user who owns the mounted project.
USER 65534:65534
WORKDIR /project
CMD ["poly-epo", "--help"]
