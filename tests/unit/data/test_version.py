"""Noticing that the source holds other data, and pinning them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.data.params import DataParams, FileSource, HubSource, PolynomialSource
from components.data.sources.hub import HubProblems
from components.data.stage import make_data
from components.data.version import made_identity, newest
from components.errors import PolyEpoError


def write(path: Path, first: int) -> None:
    rows = [{"prompt": f"{number}+0=", "answer": str(number)} for number in range(first, first + 12)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_changed_file_is_another_version_and_a_pin_refuses_it(tmp_path: Path) -> None:
    file, data = tmp_path / "problems.jsonl", tmp_path / "data"
    write(file, 0)
    params = DataParams(source=FileSource(kind="file", path=str(file)), validation=2, test=2)
    first = newest(params)
    assert not first.is_made(data)
    make_data(params, data)
    assert newest(params).is_made(data)
    assert made_identity(data)["input_sha256"] == first.pin["sha256"]

    write(file, 100)
    second = newest(params)
    assert not second.is_made(data)
    pinned = params.model_copy(update={"source": params.source.model_copy(update=first.pin)})
    with pytest.raises(PolyEpoError, match=r"not the one that is pinned .*poly-epo data update"):
        make_data(pinned, data)
    assert newest(pinned) == second


def test_a_pin_changes_nothing_of_what_is_made(tmp_path: Path) -> None:
    file = tmp_path / "problems.jsonl"
    write(file, 0)
    params = DataParams(source=FileSource(kind="file", path=str(file)), validation=2, test=2)
    pinned = params.model_copy(update={"source": params.source.model_copy(update=newest(params).pin)})
    make_data(params, tmp_path / "free")
    make_data(pinned, tmp_path / "pinned")
    free, same = ((tmp_path / name / "manifest.json").read_bytes() for name in ("free", "pinned"))
    assert free == same


def test_a_followed_branch_is_pinned_to_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    commits = {"main": "b" * 40, "a" * 40: "a" * 40}
    monkeypatch.setattr(HubProblems, "identity", lambda self: {"commit": commits[self._params.revision]})
    source = HubSource(kind="hub", name="team/problems", revision="a" * 40)
    still = newest(DataParams(source=source))
    moved = newest(DataParams(source=source.model_copy(update={"follow": "main"})))
    assert still.pin == {}
    assert moved.pin == {"revision": "b" * 40}
    assert still.fingerprint != moved.fingerprint


def test_generated_data_change_with_their_parameters_alone() -> None:
    params = DataParams(source=PolynomialSource(coefficient_range=2))
    assert newest(params) == newest(params)
    assert newest(params).pin == {}
    assert newest(params).fingerprint != newest(params.model_copy(update={"seed": 1})).fingerprint
