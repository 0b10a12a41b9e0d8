"""Open and save a policy directory: safetensors, config and tokenizer in the Hugging Face format."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from components.errors import PolyEpoError

__all__ = ["load_model", "load_tokenizer", "load_weights", "prompt_ids", "save_policy", "writing_weights"]

# A bar for every load would bury the pipeline's own progress.
transformers_logging.disable_progress_bar()


def load_model(directory: Path | str, *, device: torch.device | None = None, **options: Any) -> PreTrainedModel:
    """The causal language model in ``directory`` in float32 on ``device`` (CPU); remote code is never run.

    Raises:
        PolyEpoError: the directory is missing or holds no model that transformers knows.
    """
    options.setdefault("dtype", torch.float32)
    return _open(AutoModelForCausalLM, directory, **options).to(device or torch.device("cpu"))


def load_tokenizer(directory: Path | str, **options: Any) -> PreTrainedTokenizerBase:
    """The tokenizer in ``directory``, padding on the left, with a padding token.

    Raises:
        PolyEpoError: the directory is missing or holds no tokenizer.
    """
    tokenizer: PreTrainedTokenizerBase = _open(AutoTokenizer, directory, **options)
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_weights(model: PreTrainedModel, directory: Path) -> None:
    """Put the weights of ``directory`` into ``model``, which must have the same architecture.

    Raises:
        PolyEpoError: the weights are missing or do not fit.
    """
    files = sorted(directory.glob("*.safetensors"))
    try:
        weights = {name: tensor for file in files for name, tensor in load_file(file).items()}
        # Tied weights are stored once: what is not in the file must be another name of what is.
        missing, unexpected = model.load_state_dict(weights, strict=False)
    except (SafetensorError, RuntimeError) as error:
        raise PolyEpoError(
            f"the weights cannot be loaded: {_first_line(error)}",
            where=str(directory),
            remedy="remove the directory and run the stage that makes it again",
        ) from error
    stored = {tensor.data_ptr() for name, tensor in model.state_dict().items() if name in weights}
    lost = [name for name in missing if model.state_dict()[name].data_ptr() not in stored]
    if not files or lost or unexpected:
        raise PolyEpoError(
            "the weights do not fit the model",
            where=str(directory),
            value=(lost + list(unexpected))[:3],
            remedy="remove the directory and run the stage that makes it again",
        )


def prompt_ids(tokenizer: PreTrainedTokenizerBase, prompt: str) -> list[int]:
    """Token ids of a prompt, through the chat template where the model has one; without one nothing is added to it.

    Raises:
        PolyEpoError: the prompt has no tokens.
    """
    if tokenizer.chat_template:
        messages = [{"role": "user", "content": prompt}]
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)
    else:
        ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    if not ids:
        raise PolyEpoError("the prompt has no tokens", where="tokenizer", value=prompt, remedy="mend the data")
    return list(ids)


def save_policy(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    directory: Path,
    *,
    weights: dict[str, Tensor] | None = None,
) -> None:
    """Write model (safetensors) and tokenizer into an existing directory; ``weights`` go before the model's own."""
    with writing_weights():
        model.save_pretrained(directory, state_dict=weights)
    tokenizer.save_pretrained(directory)


@contextmanager
def writing_weights() -> Iterator[None]:
    """Turn the error of its own by which safetensors reports a full disk into the OSError it is.

    Raises:
        OSError: the weights could not be written.
    """
    try:
        yield
    except SafetensorError as error:
        raise OSError(_first_line(error)) from error


def _open(kind: Any, directory: Path | str, **options: Any) -> Any:
    if isinstance(directory, Path) and not (directory / "config.json").is_file():
        raise PolyEpoError(
            "no model here: config.json is missing",
            where=str(directory),
            remedy="run the stage that makes it (`make run`), `dvc pull`, or mend the path",
        )
    try:
        return kind.from_pretrained(directory, trust_remote_code=False, **options)
    except (OSError, ValueError, SafetensorError) as error:
        raise PolyEpoError(
            f"cannot open the model: {_first_line(error)}",
            where=str(directory),
            remedy="check the name, the revision and the network, or give a local directory",
        ) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
