"""Attention over a packed row: many sequences side by side, no padding, a prompt shared by all its completions.

The row holds P prompts and B completions one after the other. A prompt's tokens see the prompt up to themselves; a
completion's tokens see their whole prompt and their own completion up to themselves. Everything else in a transformer
works token by token, so this is the only place that knows where a sequence begins.

Two ways to compute the same values: on a GPU in half precision one variable-length kernel over all sequences; elsewhere
sequences of similar length side by side through ``scaled_dot_product_attention``, padded within the attention alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

__all__ = ["ATTENTION", "Layout", "Layouts", "Segment", "plan_attention"]

ATTENTION = "poly_epo_packed"
"""The name under which transformers finds ``packed_attention``."""

_Index = npt.NDArray[np.int64]
_MAX_WASTE = 1.25  # computed query-key pairs over those needed, at which a bucket of sequences is closed
_SMALL = 1 << 18  # query-key pairs below which one more call costs more than padding
_LONG = 128  # tokens from which a mask costs more than queries for a prefix that are thrown away


@dataclass(frozen=True)
class Segment:
    """A run of tokens of the packed row that sees itself causally and before that the tokens of its prefix.

    Attributes:
        start, length: the run.
        prefix_start, prefix_length: another run that it sees whole; length 0: none.
    """

    start: int
    length: int
    prefix_start: int = 0
    prefix_length: int = 0

    @property
    def keys(self) -> int:
        """Tokens that the last token of the run sees."""
        return self.prefix_length + self.length


class Layout(Protocol):
    """How to compute attention over one packed row of T tokens."""

    def attend(self, query_THD: Tensor, key_TGD: Tensor, value_TGD: Tensor, scale: float | None) -> Tensor:
        """Attention with H query heads and G key-value heads; (T, H, D)."""
        ...


def plan_attention(
    segments: Sequence[Segment], *, device: torch.device, half: bool, window: int | None = None
) -> Layout:
    """The layout for segments that follow one another and fill the row.

    Args:
        segments: in the order of the row.
        device: of the layout's index tensors.
        half: queries, keys and values will be float16 or bfloat16.
        window: a token sees itself and the ``window - 1`` tokens before it; None: everything before it.
    """
    if half and device.type == "cuda":
        return _VariableLength.of(segments, device, window)
    if len(segments) == 1 and _fits(segments, window):
        return _Whole()
    return _Bucketed.of(segments, device, window)


class _Whole:
    """One sequence: plain causal attention."""

    def attend(self, query_THD: Tensor, key_TGD: Tensor, value_TGD: Tensor, scale: float | None) -> Tensor:
        heads = (x_TXD.transpose(0, 1)[None] for x_TXD in (query_THD, key_TGD, value_TGD))
        return _attend(*heads, scale=scale, mask=None)[0].transpose(0, 1)


@dataclass(frozen=True)
class _Bucket:
    """Segments of similar length: places in the row of their queries (b, q) and keys (b, k), padded with place 0.

    ``mask`` is (b, 1, q, k), true where a query sees a key; None: plain causal attention (then q = k).
    """

    queries: Tensor
    keys: Tensor
    mask: Tensor | None


@dataclass(frozen=True)
class _Bucketed:
    """Bucket by bucket; ``place_T`` finds each token of the row in the buckets' results, one after the other."""

    buckets: Sequence[_Bucket]
    place_T: Tensor

    @classmethod
    def of(cls, segments: Sequence[Segment], device: torch.device, window: int | None) -> _Bucketed:
        place_T = np.empty(sum(segment.length for segment in segments), dtype=np.int64)
        buckets, offset = [], 0
        for chosen in _similar(segments):
            keys = _padded([_seen(segment) for segment in chosen])
            whole = _better_whole(chosen, window)
            queries = keys if whole else _padded([np.arange(s.start, s.start + s.length) for s in chosen])
            own = _own(chosen, queries.shape[1], whole=whole)
            place_T[queries[own]] = offset + np.flatnonzero(own)
            offset += queries.size
            plain = whole or _fits(chosen, window)
            mask = None if plain else torch.from_numpy(_mask(chosen, window)).to(device)
            buckets.append(_Bucket(torch.from_numpy(queries).to(device), torch.from_numpy(keys).to(device), mask))
        return cls(buckets, torch.from_numpy(place_T).to(device))

    def attend(self, query_THD: Tensor, key_TGD: Tensor, value_TGD: Tensor, scale: float | None) -> Tensor:
        results = []
        for bucket in self.buckets:
            query, key, value = (
                x_TXD[places].transpose(1, 2)
                for x_TXD, places in ((query_THD, bucket.queries), (key_TGD, bucket.keys), (value_TGD, bucket.keys))
            )
            results.append(_attend(query, key, value, scale=scale, mask=bucket.mask).transpose(1, 2).flatten(0, 1))
        return torch.cat(results)[self.place_T]


@dataclass(frozen=True)
class _VariableLength:
    """One kernel for all segments; ``keys`` (K,) are places in the row, None where they are the row itself."""

    query_offsets: Tensor
    key_offsets: Tensor
    longest_query: int
    longest_key: int
    keys: Tensor | None
    window: int | None

    @classmethod
    def of(cls, segments: Sequence[Segment], device: torch.device, window: int | None) -> _VariableLength:
        lengths = np.array([[segment.length, segment.keys] for segment in segments], dtype=np.int32)
        offsets = np.concatenate([np.zeros((1, 2), np.int32), lengths.cumsum(axis=0, dtype=np.int32)])
        shared = any(segment.prefix_length for segment in segments)
        keys = torch.from_numpy(np.concatenate([_seen(segment) for segment in segments])) if shared else None
        return cls(
            torch.from_numpy(offsets[:, 0].copy()).to(device),
            torch.from_numpy(offsets[:, 1].copy()).to(device),
            int(lengths[:, 0].max()),
            int(lengths[:, 1].max()),
            None if keys is None else keys.to(device),
            window,
        )

    def attend(self, query_THD: Tensor, key_TGD: Tensor, value_TGD: Tensor, scale: float | None) -> Tensor:
        # Not every build of torch has the kernel: it is imported where it is used.
        from torch.nn.attention.varlen import varlen_attn  # noqa: PLC0415

        grouped = query_THD.shape[1] != key_TGD.shape[1]
        # torch 2.11 takes fewer key-value heads as they are; later releases want to be told.
        told: dict[str, Any] = {"enable_gqa": grouped} if "enable_gqa" in signature(varlen_attn).parameters else {}
        key, value = (x_TGD if self.keys is None else x_TGD[self.keys] for x_TGD in (key_TGD, value_TGD))
        result = varlen_attn(
            query_THD.to(value.dtype),
            key.to(value.dtype),
            value,
            self.query_offsets,
            self.key_offsets,
            self.longest_query,
            self.longest_key,
            scale=scale,
            window_size=(-1 if self.window is None else self.window - 1, 0),
            **told,
        )
        return cast(Tensor, result)


class Layouts:
    """The layouts of one packed row, made when a layer first asks: layers may differ in their sliding window."""

    def __init__(self, segments: Sequence[Segment], device: torch.device) -> None:
        self._segments = segments
        self._device = device
        self._made: dict[tuple[int | None, bool], Layout] = {}

    def of(self, window: int | None, dtype: torch.dtype) -> Layout:
        """The layout for a layer with this sliding window whose values are of this type."""
        key = (window, dtype in (torch.float16, torch.bfloat16))
        if key not in self._made:
            self._made[key] = plan_attention(self._segments, device=self._device, half=key[1], window=window)
        return self._made[key]


@torch.compiler.disable  # type: ignore[untyped-decorator]
def packed_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    layouts: Layouts | None = None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **others: Any,
) -> tuple[Tensor, Tensor | None]:
    """transformers' attention interface over one packed row: (1, heads, T, D) in, (1, T, heads, D) out.

    ``layouts`` comes through the model's forward pass; without it the row is one sequence.
    """
    if layouts is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **others)
    query_THD, key_TGD, value_TGD = (x[0].transpose(0, 1) for x in (query, key, value))
    return layouts.of(sliding_window, value.dtype).attend(query_THD, key_TGD, value_TGD, scaling)[None], None


AttentionInterface.register(ATTENTION, packed_attention)


def _attend(query: Tensor, key: Tensor, value: Tensor, *, scale: float | None, mask: Tensor | None) -> Tensor:
    return scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        is_causal=mask is None,
        scale=scale,
        enable_gqa=query.shape[1] != key.shape[1],
    )


def _similar(segments: Sequence[Segment]) -> Iterator[list[Segment]]:
    """Segments in groups of similar length: little padding, few groups."""
    chosen: list[Segment] = []
    needed = 0
    for segment in sorted((s for s in segments if s.length), key=lambda s: (s.keys, s.length), reverse=True):
        own = segment.length * segment.keys
        most = max(own, max((s.length for s in chosen), default=0) * (chosen[0].keys if chosen else 0))
        area = most * (len(chosen) + 1)
        if chosen and area > max(_MAX_WASTE * (needed + own), _SMALL):
            yield chosen
            chosen, needed = [], 0
        chosen.append(segment)
        needed += own
    if chosen:
        yield chosen


def _seen(segment: Segment) -> _Index:
    """Places of the tokens that a segment's last token sees, in order."""
    prefix = np.arange(segment.prefix_start, segment.prefix_start + segment.prefix_length)
    return np.concatenate([prefix, np.arange(segment.start, segment.start + segment.length)])


def _padded(rows: Sequence[_Index]) -> _Index:
    places = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
    for index, row in enumerate(rows):
        places[index, : len(row)] = row
    return places


def _own(segments: Sequence[Segment], width: int, *, whole: bool) -> npt.NDArray[np.bool_]:
    """(b, width): which queries are a segment's own tokens, rather than padding or, where ``whole``, its prefix."""
    begin = np.array([segment.prefix_length if whole else 0 for segment in segments])[:, None]
    lengths = np.array([segment.length for segment in segments])[:, None]
    places = np.arange(width)[None, :]
    return (places >= begin) & (places < begin + lengths)


def _better_whole(segments: Sequence[Segment], window: int | None) -> bool:
    """Whether long segments go with queries for their prefix too: plain causal attention, whatever the prefix.

    A mask takes memory with the square of the length, once for every layer, and its kernel computes what it hides.
    """
    longest = max(s.length for s in segments)
    prefixed = any(s.prefix_length for s in segments)
    seen = max(s.keys for s in segments)
    return prefixed and longest >= max(_LONG, *(s.prefix_length for s in segments)) and (window or seen) >= seen


def _fits(segments: Sequence[Segment], window: int | None) -> bool:
    """Whether plain causal attention is all that the segments need."""
    return all(not s.prefix_length and (window is None or s.length <= window) for s in segments)


def _mask(segments: Sequence[Segment], window: int | None) -> npt.NDArray[np.bool_]:
    """(b, 1, q, k): every query sees the keys up to its own; a padded query sees some, so that none is undefined."""
    own = np.array([s.prefix_length for s in segments])[:, None] + np.arange(max(s.length for s in segments))
    keys = np.arange(max(s.keys for s in segments))
    seen = keys <= own[:, :, None]
    if window is not None:
        seen &= keys > own[:, :, None] - window
    return seen[:, None]
