"""The variable-length kernel in half precision against plain attention in float32: values and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from components.training.attention import Segment, plan_attention

pytestmark = pytest.mark.gpu
GPU, CPU = torch.device("cuda"), torch.device("cpu")
WIDTH = 64


def segments(seed: int, *, longest: int) -> tuple[list[Segment], int]:
    """Four prompts with three completions each, some of them empty."""
    rng = np.random.default_rng(seed)
    made, start = [], 0
    for prompt in rng.integers(1, 40, 4):
        made.append(Segment(start, int(prompt)))
        prefix, start = start, start + int(prompt)
        for length in rng.integers(0, longest, 3):
            made.append(Segment(start, int(length), prefix, int(prompt)))
            start += int(length)
    return made, start


@pytest.mark.parametrize("heads", [(4, 4), (9, 3)])
@pytest.mark.parametrize("window", [None, 7])
@pytest.mark.parametrize("longest", [40, 400])
def test_half_precision_agrees_with_float32(heads: tuple[int, int], window: int | None, longest: int) -> None:
    row, tokens = segments(longest, longest=longest)
    generator = torch.Generator().manual_seed(0)
    # Both sides start from the very numbers that half precision can hold.
    inputs = [torch.randn(tokens, count, WIDTH, generator=generator).bfloat16() for count in (heads[0], *heads[1:] * 2)]
    weight = torch.randn(tokens, heads[0], WIDTH, generator=generator).bfloat16()
    results = []
    for device, half in ((CPU, False), (GPU, True)):
        own = [one.to(device, torch.bfloat16 if half else torch.float32).requires_grad_() for one in inputs]
        layout = plan_attention(row, device=device, half=half, window=window)
        output = layout.attend(own[0], own[1], own[2], None)
        (output.float() * weight.to(device).float()).sum().backward()
        results.append([output.detach(), *(one.grad for one in own)])
    for expected, actual in zip(*results, strict=True):
        assert expected is not None
        assert actual is not None
        torch.testing.assert_close(actual.float().cpu(), expected, rtol=2e-2, atol=4e-2)
