"""Row shards: what any number of writers wrote, any reader puts together; what is missing is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from components.errors import PolyEpoError
from components.training import shards
from components.training.distributed import Ranks
from components.training.shards import Shards, save_shards

WHOLE = torch.arange(35.0).reshape(7, 5)


@pytest.fixture
def write_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Writes what so many ranks write, the rows cut as FSDP2 cuts them; the last ranks may have none."""

    def write(size: int) -> None:
        each = -(-len(WHOLE) // size)
        for rank in range(size):
            begin = min(rank * each, len(WHOLE))
            held = (WHOLE[begin : begin + each], begin, len(WHOLE))
            monkeypatch.setattr(shards, "local_rows", lambda _tensor, _ranks, held=held: held)
            save_shards({"moment": WHOLE}, "optimizer", tmp_path, Ranks(rank=rank, size=size), {"steps": "3"})

    return write


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize(("begin", "end"), [(0, 7), (0, 4), (4, 7), (3, 3), (6, 7)])
def test_rows_come_from_whichever_files_hold_them(
    write_parts: Callable[[int], None], tmp_path: Path, size: int, begin: int, end: int
) -> None:
    write_parts(size)
    with Shards("optimizer", tmp_path) as found:
        assert found.metadata["steps"] == "3"
        assert found.shapes == {"moment": (7, 5)}
        assert torch.equal(found.rows("moment", begin, end), WHOLE[begin:end])


def test_a_missing_file_is_said(write_parts: Callable[[int], None], tmp_path: Path) -> None:
    write_parts(3)
    (tmp_path / "optimizer-00001-of-00003.safetensors").unlink()
    with Shards("optimizer", tmp_path) as found, pytest.raises(PolyEpoError, match="rows of moment are missing"):
        found.rows("moment", 0, 7)


def test_a_damaged_file_or_none_is_an_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(PolyEpoError, match="is missing"):
        Shards("optimizer", tmp_path)
    (tmp_path / "optimizer.safetensors").write_bytes(b"damaged")
    with pytest.raises(PolyEpoError, match="cannot be read"):
        Shards("optimizer", tmp_path)
