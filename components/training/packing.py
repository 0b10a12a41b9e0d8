"""Micro-batches: which completions run through the model together, within a budget of tokens, without padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from components.training.attention import Segment

__all__ = ["PackedBatch", "pack", "plan_micro_batches"]


@dataclass(frozen=True)
class PackedBatch:
    """One packed row of T tokens that predicts V completion tokens.

    The last token of a completion predicts nothing and is left out.

    Attributes:
        ids_1T, positions_1T: (1, T) int64, token ids and positions within their sequence.
        segments: the prompts and completions of the row, in its order.
        source_V: (V,) int64, the place in the row whose hidden state predicts each completion token.
        targets_V: (V,) int64, the completion tokens, one completion after the other in the order given.
    """

    ids_1T: Tensor
    positions_1T: Tensor
    segments: Sequence[Segment]
    source_V: Tensor
    targets_V: Tensor


def plan_micro_batches(
    prompt_ids: Sequence[list[int]], completion_ids: Sequence[list[int]], *, max_tokens: int, packed: bool = True
) -> Iterator[list[int]]:
    """Row numbers of one micro-batch after the other, together all rows; the same for the same input.

    Packed, completions of one prompt stay side by side and the prompt counts once. Padded (``packed=False``),
    sequences of similar length stay side by side and each counts as long as the longest. A completion that exceeds
    ``max_tokens`` with its prompt is a micro-batch of its own.
    """
    sizes = [(len(prompt), len(completion)) for prompt, completion in zip(prompt_ids, completion_ids, strict=True)]
    if packed:
        order = sorted(range(len(sizes)), key=lambda row: (sizes[row][0], prompt_ids[row]))
    else:
        order = sorted(range(len(sizes)), key=lambda row: sum(sizes[row]))
    rows: list[int] = []
    tokens = 0
    for row in order:
        known = packed and bool(rows) and prompt_ids[rows[-1]] == prompt_ids[row]
        more = sizes[row][1] if known else sum(sizes[row])
        if rows and (tokens + more if packed else (len(rows) + 1) * more) > max_tokens:
            yield rows
            rows, tokens, more = [], 0, sum(sizes[row])
        rows.append(row)
        tokens += more
    if rows:
        yield rows


def pack(prompt_ids: Sequence[list[int]], completion_ids: Sequence[list[int]], *, device: torch.device) -> PackedBatch:
    """Lay B (prompt, completion) pairs of token ids into one row, equal prompts once."""
    rows_of: dict[tuple[int, ...], list[int]] = {}
    for row, prompt in enumerate(prompt_ids):
        rows_of.setdefault(tuple(prompt), []).append(row)
    ids: list[int] = []
    positions: list[int] = []
    segments: list[Segment] = []
    source: list[list[int]] = [[] for _ in prompt_ids]
    for tokens, rows in rows_of.items():
        start, length = len(ids), len(tokens)
        segments.extend(_segments(start, length, [len(completion_ids[row]) - 1 for row in rows]))
        ids.extend(tokens)
        positions.extend(range(length))
        for row in rows:
            inputs = completion_ids[row][:-1]
            source[row] = [start + length - 1, *range(len(ids), len(ids) + len(inputs))]
            ids.extend(inputs)
            positions.extend(range(length, length + len(inputs)))
    flat = lambda rows: torch.tensor(list(chain.from_iterable(rows)), device=device)  # noqa: E731
    return PackedBatch(flat([ids])[None], flat([positions])[None], segments, flat(source), flat(completion_ids))


def _segments(start: int, prompt: int, completions: Sequence[int]) -> Iterator[Segment]:
    """The segments of one prompt's part of the row; with a single completion the two are one sequence."""
    if len(completions) == 1:
        yield Segment(start, prompt + completions[0])
        return
    yield Segment(start, prompt)
    end = start + prompt
    for length in completions:
        yield Segment(end, length, start, prompt)
        end += length
