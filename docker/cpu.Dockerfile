# Image of everything else: data, gates, scoring, evaluation, registry, flows and their worker, dashboard, and the
# servers of Prefect and MLflow. `make images` builds it. Its first half is train.Dockerfile's, and shares its layers'
# cache; the arguments are explained there.
#
#   docker run --rm -v "$PWD:$PWD" -w "$PWD" --user "$(id -u):$(id -g)" poly-epo/cpu dvc repro
ARG BASE=python:3.11.14-slim-bookworm

FROM ${BASE} AS build
# Some pure source distributions are compiled here; the compiler stays behind in this stage.
RUN command -v cc >/dev/null && test -e "$(python3 -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" \
 || { apt-get update -q && apt-get install -y -q --no-install-recommends gcc libc6-dev \
      && { test -e "$(python3 -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" \
           || apt-get install -y -q --no-install-recommends python3-dev; }; }
WORKDIR /source
ARG DEVICE=cpu
COPY constraints.txt pyproject.toml README.md LICENSE ./
RUN --mount=type=bind,source=build/wheels,target=/wheels \
    python3 -m venv /opt/venv \
 && printf '[global]\nno-index = true\nfind-links = /wheels/%s\nno-cache-dir = true\nno-compile = true\ndisable-pip-version-check = true\n' \
    "${DEVICE}" > /opt/venv/pip.conf \
 && /opt/venv/bin/pip install -q -c constraints.txt pip setuptools \
 && /opt/venv/bin/pip install -q -c constraints.txt --no-build-isolation ".[models,domains,worker]"
RUN --mount=type=bind,source=build/wheels,target=/wheels \
    /opt/venv/bin/pip install -q -c constraints.txt --no-build-isolation ".[pipeline,team,models,domains,worker]"
# Bytecode is made now and never checked against its source: a container's user cannot write it later. (1: some package
# ships a template that is no Python.)
RUN /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib || test $? = 1
COPY components components
COPY flows flows
RUN /opt/venv/bin/pip install -q --no-deps --no-build-isolation --force-reinstall . && rm /opt/venv/pip.conf \
 && cd /opt/venv/lib/python3*/site-packages \
 && /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash components flows

FROM ${BASE}
# DVC and the lineage of a registered policy ask git.
RUN command -v git >/dev/null \
 || { apt-get update -q && apt-get install -y -q --no-install-recommends git && rm -rf /var/lib/apt/lists/*; }
COPY --from=build /opt/venv /opt/venv
COPY --chmod=644 docker/mlflow.sh docker/objects.py /opt/poly-epo/
ENV PATH=/opt/venv/bin:$PATH HOME=/tmp DVC_NO_ANALYTICS=1 DO_NOT_TRACK=1 PYTHONUNBUFFERED=1
# Not root, and no user of any host; the runner `docker` starts it as the owner of the project.
USER 65534:65534
WORKDIR /tmp
CMD ["poly-epo", "--help"]
