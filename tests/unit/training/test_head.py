"""The chunked head against log_softmax over all logits: values and gradients, whatever the chunk."""

from __future__ import annotations

import pytest
import torch

from components.training.chunks import chunk_tokens
from components.training.head import token_statistics

TOKENS, WIDTH, VOCABULARY = 13, 8, 29


def leaves(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    random = lambda *shape: torch.randn(*shape, generator=generator).requires_grad_()  # noqa: E731
    targets_V = torch.randint(VOCABULARY, (TOKENS,), generator=generator)
    return random(TOKENS, WIDTH), random(VOCABULARY, WIDTH), random(VOCABULARY), targets_V


def plain(hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, targets: torch.Tensor) -> list[torch.Tensor]:
    log_softmax = torch.log_softmax(hidden @ weight.T + bias, dim=-1)
    return [log_softmax[range(len(targets)), targets], -(log_softmax.exp() * log_softmax).sum(-1)]


@pytest.mark.parametrize("chunk", [1, 4, 13, 50])
@pytest.mark.parametrize("used", [(1.0, 0.0), (0.0, 1.0), (1.0, -0.7)])
def test_values_and_gradients(chunk: int, used: tuple[float, float]) -> None:
    upstream = torch.linspace(-2, 2, TOKENS)
    found = []
    for compute in (plain, lambda *given: token_statistics(*given, chunk=chunk)):
        hidden, weight, bias, targets = leaves()
        values = compute(hidden, weight, bias, targets)
        total = sum((factor * value * upstream).sum() for factor, value in zip(used, values, strict=True) if factor)
        total.backward()
        found.append([*(value.detach() for value in values), hidden.grad, weight.grad, bias.grad])
    for expected, actual in zip(*found, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


def test_logits_of_any_size_do_not_overflow() -> None:
    hidden, weight, bias, targets = leaves()
    with torch.no_grad():
        values = token_statistics(hidden * 1e4, weight, bias, targets)
        expected = plain(hidden.double() * 1e4, weight.double(), bias.double(), targets)
    torch.testing.assert_close(values[0], expected[0].float())
    assert torch.isfinite(values[1]).all()


def test_frozen_weights_get_no_gradient() -> None:
    hidden, weight, _, targets = leaves()
    weight.requires_grad_(False)
    token_statistics(hidden, weight, None, targets)[0].sum().backward()
    assert hidden.grad is not None
    assert weight.grad is None


def test_under_autocast_gradients_are_near_those_of_float32() -> None:
    found = []
    for enabled in (False, True):
        hidden, weight, bias, targets = leaves()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            logprobs, entropy = token_statistics(hidden, weight, bias, targets, chunk=4)
        assert logprobs.dtype == entropy.dtype == torch.float32
        logprobs.sum().backward()
        found.append(weight.grad)
    assert float((found[0] - found[1]).norm() / found[0].norm()) < 0.02
    assert not torch.equal(found[0], found[1])


def test_a_chunk_is_bounded_by_its_logits_and_never_empty() -> None:
    assert chunk_tokens(49152, "cpu") * 49152 <= 1 << 24
    assert chunk_tokens(1 << 30, "cpu") == 1
    assert chunk_tokens(49152, "cuda") > chunk_tokens(49152, "cpu")
