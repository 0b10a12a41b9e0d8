#!/bin/sh
# The first process of a rollout server's container: vLLM with the flags that components/rollout/vllm_server.py gives.
set -eu
if [ "$DEVICE" = cpu ]; then
  export VLLM_CPU_KVCACHE_SPACE="${VLLM_CPU_KVCACHE_SPACE:-2}" VLLM_CPU_NUM_OF_RESERVED_CPU=0 TORCHDYNAMO_DISABLE=1
  set -- --dtype float32 --enforce-eager "$@"
fi
# A seed of its own: a server that starts again must not draw the same completions again.
exec python -m vllm.entrypoints.openai.api_server --host 127.0.0.1 --port "$PORT" --served-model-name policy \
  --worker-extension-cls poly_epo_vllm_worker.PolicyWorker --generation-config vllm --disable-uvicorn-access-log --seed "$(od -An -N4 -tu4 /dev/urandom | tr -d ' ' | cut -c -9)" "$@"
