"""What runs inside vLLM's workers: one method more, by which they take a policy from its directory.

vLLM imports it by name (``--worker-extension-cls``) from a copy of this file (:func:`put_extension`) in its own
environment, and mixes the class into its worker: only the standard library and vLLM itself are there.

vLLM's own ``reload_weights`` (0.32) is not enough on CPU: there the output head multiplies with a copy of its weights,
packed once when the model was loaded. A head that is tied to the embedding has no weights of its own in a checkpoint:
nothing packs it again, and the server would go on sampling with the head of the policy it was started with.
"""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from typing import Any

__all__ = ["EXTENSION", "PolicyWorker", "put_extension"]

_MODULE = "poly_epo_vllm_worker"

EXTENSION = f"{_MODULE}.PolicyWorker"
"""The value of ``--worker-extension-cls``."""


def put_extension(directory: Path) -> Path:
    """Copy this module, alone, into ``directory``; returns what goes onto the server's PYTHONPATH."""
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(__file__, directory / f"{_MODULE}.py")
    return directory.absolute()


class PolicyWorker:
    """Mixed into vLLM's worker, whose ``reload_weights`` and ``model_runner`` it uses."""

    reload_weights: Any
    model_runner: Any

    def load_policy(self, directory: str) -> None:
        """Take the weights in ``directory``, in place; called through ``/collective_rpc``."""
        self.reload_weights(weights_path=directory)
        _pack_again(self.model_runner.get_model())


def _pack_again(model: Any) -> None:
    """Pack anew the layers on CPU that keep their weights beside the packed copy: output heads."""
    # By name: where this project is checked and tested, there is no vLLM.
    utils = importlib.import_module("vllm.model_executor.layers.utils")
    for layer in model.modules():
        # A layer with adapters shows its base layer's attributes as its own; the base layer comes by itself.
        if hasattr(layer, "cpu_linear") and not hasattr(layer, "base_layer") and layer.weight.numel():
            utils.dispatch_cpu_unquantized_gemm(layer, remove_weight=False)
