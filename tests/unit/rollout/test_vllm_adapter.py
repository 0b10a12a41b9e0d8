"""Policies that go into a server as LoRA adapters, against a server that forgets, refuses and misnames them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from components.errors import PolyEpoError
from components.rollout.engine import get_engine
from components.rollout.params import RolloutParams
from components.rollout.vllm_engine import VllmEngine
from tests.tiny import problems
from tests.unit.rollout.fake_vllm import FakeVllm, fake_vllm

PROMPTS = [f"{number}+(1)=" for number in range(3)]
GROUP = 4


@pytest.fixture
def fake() -> Iterator[tuple[FakeVllm, str]]:
    with fake_vllm() as running:
        yield running


def version(root: Path, policy: Path, number: int) -> Path:
    directory = root / f"{number:06d}"
    shutil.copytree(policy, directory)
    (directory / "adapter").mkdir()
    (directory / "adapter" / "adapter_config.json").write_text("{}")
    return directory


def engine(tmp_path: Path, base: Path | None, url: str, **vllm: Any) -> VllmEngine:
    settings = {"urls": [url], "max_in_flight": GROUP, "weights": "adapter", **vllm}
    params = RolloutParams.model_validate({"engine": "vllm", "max_new_tokens": 6, "vllm": settings})
    made = get_engine(params, state=tmp_path / "state", owner="arm", base=base)
    assert isinstance(made, VllmEngine)
    return made


def sample(made: VllmEngine, directory: Path, number: int) -> pa.Table:
    made.load_policy(directory, number)
    table = made.sample(problems(PROMPTS), group_size=GROUP, seed=number)
    assert set(table["policy_version"].to_pylist()) == {number}
    return table


def test_the_base_is_loaded_once_and_each_version_is_an_adapter_of_its_own_name(
    fake: tuple[FakeVllm, str], tmp_path: Path, tiny_policy: Path
) -> None:
    server, url = fake
    made = engine(tmp_path, tiny_policy, url)
    sample(made, tiny_policy, 0)
    names = []
    for number in (1, 2):
        directory = version(tmp_path, tiny_policy, number)
        sample(made, directory, number)
        [(name, path)] = server.adapters.items()
        assert path == str(directory / "adapter")
        assert name == server.label == server.requests[-1]["model"]
        names.append(name)
    assert names[0].startswith("1-")
    assert names[1].startswith("2-")
    # Version 0 is the base, whole; version 1 makes sure of it once more, because a plain label does not tell.
    assert server.loaded == [str(tiny_policy), str(tiny_policy)]


def test_another_process_finds_the_base_by_the_label(
    fake: tuple[FakeVllm, str], tmp_path: Path, tiny_policy: Path
) -> None:
    server, url = fake
    sample(engine(tmp_path, tiny_policy, url), version(tmp_path, tiny_policy, 1), 1)
    sample(engine(tmp_path, tiny_policy, url), version(tmp_path, tiny_policy, 2), 2)
    assert server.loaded == [str(tiny_policy)]
    assert len(server.adapters) == 1


def test_a_loading_that_was_broken_off_does_not_pass_for_the_base(
    fake: tuple[FakeVllm, str], tmp_path: Path, tiny_policy: Path
) -> None:
    server, url = fake
    sample(engine(tmp_path, tiny_policy, url), version(tmp_path, tiny_policy, 1), 1)
    server.refuse_loading = True
    with pytest.raises(PolyEpoError, match="could not load the policy: LoRA rank 32 is greater"):
        sample(engine(tmp_path, tiny_policy, url), version(tmp_path, tiny_policy, 2), 2)
    assert server.label == "loading 2"
    server.refuse_loading = False
    sample(engine(tmp_path, tiny_policy, url), tmp_path / "000002", 2)
    assert server.loaded == [str(tiny_policy), str(tiny_policy)]


@pytest.mark.parametrize("fault", ["restart", "outage", "stolen"])
def test_a_server_that_lost_the_adapter_gets_it_again(
    fault: str, fake: tuple[FakeVllm, str], tmp_path: Path, tiny_policy: Path
) -> None:
    server, url = fake
    server.faults = ["", fault]
    table = sample(engine(tmp_path, tiny_policy, url), version(tmp_path, tiny_policy, 1), 1)
    assert table["sample_index"].to_pylist() == list(range(GROUP)) * len(PROMPTS)
    assert server.label.startswith("1-")
    assert list(server.adapters) == [server.label]


def test_a_version_without_an_adapter_is_an_error(
    fake: tuple[FakeVllm, str], tmp_path: Path, tiny_policy: Path
) -> None:
    made = engine(tmp_path, tiny_policy, fake[1])
    with pytest.raises(PolyEpoError, match=r"no adapter to load -> train with training.lora"):
        made.load_policy(tiny_policy, 1)


def test_where_no_base_is_known_policies_are_loaded_whole(
    fake: tuple[FakeVllm, str], tmp_path: Path, tiny_policy: Path
) -> None:
    server, url = fake
    sample(engine(tmp_path, None, url), tiny_policy, 5)
    assert (server.loaded, server.adapters) == ([str(tiny_policy)], {})


def test_an_adapter_that_the_server_does_not_list_is_not_believed(
    fake: tuple[FakeVllm, str], tmp_path: Path, tiny_policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, url = fake
    monkeypatch.setattr(server, "adapters", _Forgetful())
    with pytest.raises(PolyEpoError, match="after loading version 1"):
        sample(engine(tmp_path, tiny_policy, url), version(tmp_path, tiny_policy, 1), 1)


class _Forgetful(dict[str, str]):
    def __setitem__(self, name: str, path: str) -> None:
        """Keep nothing."""
