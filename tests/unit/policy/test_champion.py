"""Going on from a registered policy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from components.errors import PolyEpoError
from components.manifest import read_manifest
from components.policy.load import load_model
from components.policy.params import CHAMPIONS, PolicyParams, TinySource
from components.policy.source import open_source

TINY = TinySource(kind="tiny")


def test_the_champions_weights_take_the_place_of_the_source(
    tiny_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    manifest = read_manifest(tiny_policy)
    assert manifest is not None
    params = PolicyParams(source=TINY, champion=manifest.digest)
    with pytest.raises(PolyEpoError, match=r"champion to go on from is not here.*poly-epo models fetch"):
        open_source(params, ["abc"])
    shutil.copytree(tiny_policy, CHAMPIONS / manifest.digest)
    model, _ = open_source(params, ["abc"])
    expected = load_model(tiny_policy).state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())


def test_without_a_champion_the_parameters_are_what_they_were() -> None:
    assert "champion" not in PolicyParams(source=TINY).model_dump(mode="json")
    assert PolicyParams(source=TINY, champion="a" * 64).model_dump(mode="json")["champion"] == "a" * 64
