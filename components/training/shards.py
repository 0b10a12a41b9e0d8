"""Tensors divided by rows among processes, in safetensors files that any other number of processes can read.

One process writes NAME.safetensors with whole tensors. Several write NAME-00000-of-00002.safetensors and so on, each
its own rows; the metadata of a file says where they belong. A reader takes the rows it needs from whatever is there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.tensor import DTensor

from components.errors import PolyEpoError
from components.policy.load import writing_weights
from components.training.distributed import Ranks

__all__ = ["Shards", "local_rows", "save_shards"]

_ROWS = "rows"
_FACTS = "facts"


def local_rows(tensor: Tensor, ranks: Ranks) -> tuple[Tensor, int, int]:
    """The rows of ``tensor`` that this process holds, the number of the first, and how many there are in all."""
    total = len(tensor)
    if not isinstance(tensor, DTensor):
        return tensor, 0, total
    local = tensor.to_local()
    # FSDP2 divides by rows as torch.chunk does: equally, the last processes getting less or nothing.
    begin = min(-(-total // ranks.size) * ranks.rank, total)
    return local, begin, total


def save_shards(
    tensors: Mapping[str, Tensor], name: str, directory: Path, ranks: Ranks, metadata: Mapping[str, str]
) -> None:
    """Write this process's rows of ``tensors`` into an existing directory; every process must do so."""
    rows, held = {}, {}
    for key, tensor in tensors.items():
        local, begin, total = local_rows(tensor, ranks)
        if len(local):
            held[key] = local.detach().contiguous()
            rows[key] = [begin, total]
    facts = dict(metadata)
    if ranks.size > 1:
        name = f"{name}-{ranks.rank:05d}-of-{ranks.size:05d}"
        facts[_ROWS] = json.dumps(rows, sort_keys=True)
    with writing_weights():
        # One key: safetensors writes several in an order that differs from process to process.
        metadata = {_FACTS: json.dumps(facts, sort_keys=True)}
        save_file(held, directory / f"{name}.safetensors", metadata=metadata)


class Shards:
    """The tensors that any number of processes wrote as ``name``; a context manager.

    Attributes:
        metadata: what they wrote beside their tensors.
        shapes: the whole shape of every tensor.
    """

    def __init__(self, name: str, directory: Path) -> None:
        self._where = directory
        self._open = ExitStack()
        self._parts: dict[str, list[tuple[int, int, Any]]] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.metadata: dict[str, str] = {}
        files = sorted(directory.glob(f"{name}.safetensors")) or sorted(directory.glob(f"{name}-*-of-*.safetensors"))
        if not files:
            raise self._fault("the trainer's state is missing")
        try:
            for file in files:
                self._add(self._open.enter_context(safe_open(file, framework="pt")))
        except SafetensorError as error:
            raise self._fault(f"the trainer's state cannot be read: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def rows(self, key: str, begin: int, end: int) -> Tensor:
        """Rows ``begin`` to ``end`` of the tensor ``key``.

        Raises:
            PolyEpoError: not all of them are there.
        """
        found = []
        for first, last, file in sorted(self._parts.get(key, ()), key=lambda part: part[0]):
            if begin < last and first < end:
                found.append(file.get_slice(key)[max(begin, first) - first : min(end, last) - first])
        tensor = torch.cat(found) if found else torch.empty((0, *self.shapes[key][1:]))
        if len(tensor) != end - begin:
            raise self._fault(f"rows of {key} are missing from the trainer's state")
        return tensor

    def _add(self, file: Any) -> None:
        facts: dict[str, str] = json.loads((file.metadata() or {}).get(_FACTS, "{}"))
        rows = json.loads(facts.pop(_ROWS, "{}"))
        self.metadata.update(facts)
        for key in file.keys():  # noqa: SIM118  (not a mapping)
            shape = file.get_slice(key).get_shape()
            begin, total = rows.get(key, (0, shape[0]))
            self._parts.setdefault(key, []).append((begin, begin + shape[0], file))
            self.shapes[key] = (total, *shape[1:])

    def _fault(self, what: str) -> PolyEpoError:
        return PolyEpoError(
            what, where=str(self._where), remedy="remove the arm's directory in the workspace and run again"
        )
