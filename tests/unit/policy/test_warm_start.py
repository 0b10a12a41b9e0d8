"""Warm start and the stage around it, on a policy of a few thousand parameters."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file

from components.errors import PolyEpoError
from components.manifest import publish, read_manifest
from components.policy.__main__ import main, make_base
from components.policy.params import PolicyParams, WarmStart
from components.policy.warm_start import encode_demonstrations, warm_start
from components.records import DEMONSTRATION, PROBLEM, problems_to_table, write_records
from tests.tiny import problems, tiny_model

PAIRS = [(f"{left}+{right}=", str(left + right)) for left in range(4) for right in range(4) for _ in range(2)]


def params(**changed: object) -> WarmStart:
    values = {"steps": 30, "prompts_per_step": 8, "completions_per_prompt": 2, "learning_rate": 0.02}
    return WarmStart.model_validate(values | {"warmup_steps": 3} | changed)


def trained(changed: dict[str, object]) -> tuple[float, dict[str, torch.Tensor]]:
    torch.set_num_threads(1)
    model, tokenizer = tiny_model(layers=1)
    loss = warm_start(model, encode_demonstrations(tokenizer, PAIRS), params(**changed), pad_id=0, seed=4)
    return loss, model.state_dict()


def test_it_lowers_the_loss_and_is_deterministic() -> None:
    first, _ = trained({"steps": 1})
    last, weights = trained({})
    again, same = trained({})
    assert last < 0.5 * first
    assert again == last
    assert all(torch.equal(weights[name], same[name]) for name in weights)


def test_demonstrations_are_grouped_by_prompt_and_end_with_the_end_token() -> None:
    _, tokenizer = tiny_model()
    grouped = encode_demonstrations(tokenizer, [("a", "1"), ("b", "2"), ("a", "33")])
    ids = dict(zip("ab123", tokenizer.convert_tokens_to_ids(list("ab123")), strict=True))
    end = tokenizer.eos_token_id
    assert grouped == {
        (ids["a"],): [[ids["1"], end], [ids["3"], ids["3"], end]],
        (ids["b"],): [[ids["2"], end]],
    }


def test_a_loss_that_is_not_finite_stops_it() -> None:
    with pytest.raises(PolyEpoError, match=r"step \d+: warm start diverged.*-> lower policy.warm_start.learning_rate"):
        trained({"learning_rate": 1e30, "warmup_steps": 0})


def data_directory(directory: Path, *, demonstrations: list[tuple[str, str]]) -> Path:
    rows = [{"problem_id": "p", "prompt": prompt, "completion": completion} for prompt, completion in demonstrations]
    with publish(directory, fingerprint="data") as temporary:
        for split in ("train", "validation", "test"):
            write_records(temporary / f"{split}.parquet", problems_to_table(problems(["a", f"{split}?"])), PROBLEM)
        table = pa.Table.from_pylist(rows, schema=DEMONSTRATION)
        write_records(temporary / "demonstrations.parquet", table, DEMONSTRATION)
    return directory


def policy_params(seed: int = 0) -> PolicyParams:
    return PolicyParams.model_validate(
        {
            "source": {"kind": "tiny", "hidden_size": 16, "layers": 1, "heads": 2},
            "warm_start": params(steps=3).model_dump(),
            "seed": seed,
            "threads": 1,
        }
    )


def test_the_stage_publishes_once_and_again_only_when_its_inputs_changed(tmp_path: Path) -> None:
    data, out = data_directory(tmp_path / "data", demonstrations=PAIRS), tmp_path / "base"
    make_base(policy_params(), data, out)
    manifest = read_manifest(out, verify=True)
    assert manifest is not None
    assert manifest.facts["parameters"] == sum(w.numel() for w in load_file(out / "model.safetensors").values())
    before = (out / "model.safetensors").stat().st_mtime_ns
    make_base(policy_params(), data, out)
    assert (out / "model.safetensors").stat().st_mtime_ns == before
    make_base(policy_params(seed=1), data, out)
    changed = read_manifest(out)
    assert changed is not None
    assert changed.digest != manifest.digest
    make_base(policy_params(), data, tmp_path / "again")
    again = read_manifest(tmp_path / "again")
    assert again is not None
    assert again.digest == manifest.digest


def test_the_stage_refuses_missing_data_and_missing_demonstrations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["policy", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "base")])
    with pytest.raises(PolyEpoError, match="none: no data here -> run the data stage first"):
        main()
    data = data_directory(tmp_path / "data", demonstrations=[])
    with pytest.raises(PolyEpoError, match="no demonstrations to warm-start on"):
        make_base(policy_params(), data, tmp_path / "base")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]
