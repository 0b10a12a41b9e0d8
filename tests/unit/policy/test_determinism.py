"""The warm start's weights do not depend on how many threads computed them, nor on their timing."""

from __future__ import annotations

import pytest
import torch

from components.policy.determinism import compute_deterministically
from components.policy.params import WarmStart
from components.policy.warm_start import encode_demonstrations, warm_start
from tests.tiny import tiny_model


@pytest.fixture(autouse=True)
def _restore() -> object:
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


def weights(threads: int) -> list[torch.Tensor]:
    compute_deterministically(threads)
    model, tokenizer = tiny_model(hidden_size=32)
    pairs = [(f"{a}+{b}=", f"{a + b}") for a in range(10) for b in range(10)]
    params = WarmStart(steps=12, prompts_per_step=32, completions_per_prompt=16, learning_rate=0.01)
    warm_start(model, encode_demonstrations(tokenizer, pairs), params, pad_id=tokenizer.pad_token_id, seed=0)
    return [weight.detach().clone() for weight in model.parameters()]


def test_two_threads_give_the_same_bits_again_and_again() -> None:
    first = weights(2)
    for _ in range(3):
        assert all(torch.equal(mine, other) for mine, other in zip(first, weights(2), strict=True))
