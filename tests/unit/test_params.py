"""params.yaml: every fault is one line that names the key, the value and what is allowed."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.errors import PolyEpoError
from components.improve.params import ArmsParams, ImproveParams
from components.params import SECTIONS, Params, load_params, merge_overlay, parse_params
from components.policy.params import PolicyParams, TinySource
from components.training.params import TrainingParams

ROOT = Path(__file__).parents[2]
DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
GROUP_SIZE = DOCUMENT["improve"]["group_size"]

Change = Callable[[dict[str, Any]], object]


def changed(change: Change) -> dict[str, Any]:
    document = copy.deepcopy(DOCUMENT)
    change(document)
    return document


def test_the_projects_own_params_are_good_and_every_section_has_its_type() -> None:
    params = load_params(ROOT / "params.yaml")
    assert isinstance(params[PolicyParams].source, TinySource)
    assert params[ImproveParams].group_size == GROUP_SIZE
    assert list(params.as_dict()) == list(SECTIONS)
    assert parse_params(DOCUMENT).as_dict() == params.as_dict()
    assert json.loads(json.dumps(params.as_dict()))["registry"]["gate"]["margins"].keys() >= {"1"}
    with pytest.raises(KeyError, match="TrainingParams"):
        Params({})[TrainingParams]


FAULTS: list[tuple[Change, str]] = [
    (lambda d: d.update(polcy={}), "unknown section 'polcy' -> known: data, gates, policy, "),
    (lambda d: d.update({3: 1}), "unknown section 3 -> known: data"),
    (lambda d: d["training"].update(lr=1), "unknown key 'training.lr' -> known keys of training: learning_rate, "),
    (
        lambda d: d["policy"]["source"].update(size=1),
        "unknown key 'policy.source.size' -> known keys of policy.source: kind, hidden_size, layers, heads",
    ),
    (
        lambda d: d["policy"]["warm_start"].update(size=1),
        "unknown key 'policy.warm_start.size' -> known keys of policy.warm_start: steps, prompts_per_step, ",
    ),
    (
        lambda d: d["arms"]["grpo"].update(n=1),
        "unknown key 'arms.grpo.n' -> known keys of arms.grpo: objective, learning_rate, loss_aggregation",
    ),
    (
        lambda d: d["registry"]["gate"].update(x=1),
        "unknown key 'registry.gate.x' -> known keys of registry.gate: margins, ",
    ),
    (
        lambda d: d["policy"]["source"].update(kind="x"),
        "policy.source.kind is not known (got 'x') -> one of: tiny, path, ",
    ),
    (lambda d: d["data"]["source"].pop("kind"), "key 'data.source.kind' is missing -> one of: polynomial, "),
    (
        lambda d: d["training"].pop("learning_rate"),
        "key 'training.learning_rate' is missing -> known keys of training: ",
    ),
    (lambda d: d["arms"]["grpo"].pop("objective"), "key 'arms.grpo.objective' is missing"),
    (lambda d: d["policy"].update(source=3), "policy.source must be a mapping of keys (got 3)"),
    (lambda d: d.update(policy=None), "policy must be a mapping of keys"),
    (
        lambda d: d["training"].update(learning_rate="fast"),
        "training.learning_rate: Input should be a valid number (got 'fast')",
    ),
    (lambda d: d["improve"].update(iterations=1.0), "improve.iterations: Input should be a valid integer (got 1.0)"),
    (lambda d: d["improve"].update(iterations=True), "improve.iterations: Input should be a valid integer (got True)"),
    (
        lambda d: d["improve"].update(iterations=0),
        "improve.iterations: Input should be greater than or equal to 1 (got 0)",
    ),
    (lambda d: d["evaluation"].update(ks=[1, "x"]), "evaluation.ks.1: Input should be a valid integer (got 'x')"),
    (
        lambda d: d["evaluation"].update(samples=3, ks=[4]),
        "evaluation: ks holds 4, more than the 3 samples per problem",
    ),
    (
        lambda d: d["arms"]["poly_epo"]["objective"].update(set_size=GROUP_SIZE),
        f"arms.poly_epo.objective.set_size: set_size must be smaller than improve.group_size ({GROUP_SIZE}): "
        f"with n = N every advantage is 0 (got {GROUP_SIZE}) -> use at most {GROUP_SIZE // 2}",
    ),
    (
        lambda d: d["arms"]["poly_epo"]["objective"].update(name="x"),
        "arms.poly_epo.objective: unknown objective (got 'x')",
    ),
    (lambda d: d["arms"]["poly_epo"]["objective"].update(q=1), "arms.poly_epo.objective: objective 'poly_epo': "),
    (lambda d: d["arms"]["poly_epo"].update(objective={}), "arms.poly_epo.objective: an objective needs a name"),
    (
        lambda d: d["improve"].update(arms=["x"]),
        "improve.arms: arm 'x' is not defined -> add it under arms, or use one of: ",
    ),
    (lambda d: d["improve"].update(minibatches=10**6), "improve.minibatches: more minibatches than the "),
]


@pytest.mark.parametrize(("change", "message"), FAULTS, ids=[message[:40] for _, message in FAULTS])
def test_a_fault_is_one_line(change: Change, message: str) -> None:
    with pytest.raises(PolyEpoError) as caught:
        parse_params(changed(change), where="params.yaml")
    line = caught.value.line()
    assert line.startswith(f"params.yaml: {message}"), line
    assert "\n" not in line


@pytest.mark.parametrize("document", [None, [], "text", 3])
def test_a_document_that_is_no_mapping_is_one_line(document: object) -> None:
    with pytest.raises(PolyEpoError, match="params must be a mapping of sections"):
        parse_params(document)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [1", r"not valid YAML: .*line 1.* -> mend the line it names"),
        (b"a: \xff", "not valid YAML"),
        (b"!!python/object:os.system {}", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_yaml_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "p.yaml").write_bytes(content)
    with pytest.raises(PolyEpoError, match=f"p.yaml: {message}") as caught:
        load_params(tmp_path / "p.yaml")
    assert "\n" not in caught.value.line()


def test_a_file_that_is_not_there_or_not_a_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(PolyEpoError, match="params file not found -> run from the project's root"):
        load_params(tmp_path / "none.yaml")
    with pytest.raises(PolyEpoError, match="cannot be read: Is a directory"):
        load_params(tmp_path)


@pytest.mark.parametrize(
    ("written", "value"),
    [("1e-6", 1e-6), ("3E-4", 3e-4), ("2.5e-5", 2.5e-5), ("1.0e-6", 1e-6), (".5e-3", 5e-4), ("1e+0", 1.0)],
)
def test_numbers_may_be_written_with_an_exponent_alone(tmp_path: Path, written: str, value: float) -> None:
    document = changed(lambda d: d["training"].pop("learning_rate"))
    text = yaml.safe_dump(document).replace("training:\n", f"training:\n  learning_rate: {written}\n")
    (tmp_path / "p.yaml").write_text(text, encoding="utf-8")
    assert load_params(tmp_path / "p.yaml")[TrainingParams].learning_rate == value


def test_text_that_only_looks_like_an_exponent_stays_text(tmp_path: Path) -> None:
    text = yaml.safe_dump(DOCUMENT).replace("experiment: poly-epo", "experiment: 12e")
    (tmp_path / "p.yaml").write_text(text, encoding="utf-8")
    assert load_params(tmp_path / "p.yaml").as_dict()["tracking"]["experiment"] == "12e"


def test_an_overlay_replaces_single_keys_and_whole_lists() -> None:
    base = {"a": {"b": 1, "c": {"d": 2, "e": 3}}, "l": [1, 2], "k": 1}
    assert merge_overlay(base, {"a": {"c": {"d": 9}}, "l": [7], "new": {"x": 1}}) == {
        "a": {"b": 1, "c": {"d": 9, "e": 3}},
        "l": [7],
        "k": 1,
        "new": {"x": 1},
    }
    assert base == {"a": {"b": 1, "c": {"d": 2, "e": 3}}, "l": [1, 2], "k": 1}


def test_an_overlay_of_another_kind_replaces_the_mapping_whole() -> None:
    base = {"source": {"kind": "tiny", "layers": 3}, "seed": 0}
    assert merge_overlay(base, {"source": {"kind": "path", "path": "x"}}) == {
        "source": {"kind": "path", "path": "x"},
        "seed": 0,
    }
    assert merge_overlay(base, {"source": {"kind": "tiny", "heads": 2}})["source"] == {
        "kind": "tiny",
        "layers": 3,
        "heads": 2,
    }
    assert merge_overlay(base, {"source": {"heads": 2}})["source"] == {"kind": "tiny", "layers": 3, "heads": 2}
    assert merge_overlay(base, {"source": None})["source"] is None
    other = merge_overlay(DOCUMENT, {"data": {"source": {"kind": "multiplication"}}})
    assert parse_params(other).as_dict()["data"]["source"]["left_digits"] == 2


def test_an_arms_own_values_are_checked_like_the_sections() -> None:
    params = parse_params(changed(lambda d: d["arms"]["grpo"].update(learning_rate=0.5)))
    assert params[ArmsParams].root["grpo"].learning_rate == 0.5
    with pytest.raises(PolyEpoError, match=r"arms.grpo.learning_rate: Input should be greater than 0"):
        parse_params(changed(lambda d: d["arms"]["grpo"].update(learning_rate=0.0)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["policy"]["source"].update(size=1), "unknown key 'policy.source.size'"),
        (lambda d: d["arms"]["poly_epo"]["objective"].update(set_size=GROUP_SIZE), "must be smaller than"),
        (lambda d: d["evaluation"].update(samples=3), "more than the 3 samples"),
    ],
)
def test_a_components_command_ends_with_the_line_and_writes_nothing(
    tmp_path: Path, change: Change, message: str
) -> None:
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(changed(change)), encoding="utf-8")
    command = [sys.executable, "-m", "components.improve", "--params", str(tmp_path / "params.yaml"), "--arm", "grpo"]
    paths = ["--base", str(tmp_path / "base"), "--problems", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    result = subprocess.run([*command, *paths], capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]
