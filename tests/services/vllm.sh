#!/usr/bin/env bash
# Install vLLM's CPU build for the service tests into an environment of its own (.vllm). Idempotent; needs .venv.
set -euo pipefail
cd "$(dirname "$0")/../.."
.venv/bin/poly-epo rollout-server install
