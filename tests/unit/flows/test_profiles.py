"""Profiles change params.yaml key by key, keep its comments, and never leave an invalid file."""

from pathlib import Path

import pytest
import yaml

from components.errors import PolyEpoError
from flows.profiles import apply_profile, profile_names

PARAMS = Path(__file__).resolve().parents[3] / "params.yaml"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "profiles").mkdir()
    (tmp_path / "params.yaml").write_text(PARAMS.read_text())
    return tmp_path


def write_profile(project: Path, name: str, text: str) -> None:
    (project / "profiles" / f"{name}.yaml").write_text(text)


def apply(project: Path, name: str) -> bool:
    return apply_profile(name, project / "params.yaml", project / "profiles")


def test_values_are_replaced_and_comments_and_other_keys_stay(project: Path) -> None:
    write_profile(project, "short", "improve: {iterations: 3}\nevaluation: {ks: [1, 2]}\n")
    before = yaml.safe_load(PARAMS.read_text())
    assert apply(project, "short")
    text = (project / "params.yaml").read_text()
    after = yaml.safe_load(text)
    assert after["improve"] == {**before["improve"], "iterations": 3}
    assert after["evaluation"]["ks"] == [1, 2]
    assert {k: v for k, v in after.items() if k not in ("improve", "evaluation")} == {
        k: v for k, v in before.items() if k not in ("improve", "evaluation")
    }
    comments = [line.partition("#")[2] for line in PARAMS.read_text().splitlines() if "#" in line]
    assert all(comment in text for comment in comments)


def test_applying_twice_changes_nothing_more(project: Path) -> None:
    write_profile(project, "short", "improve: {iterations: 3}\n")
    apply(project, "short")
    once = (project / "params.yaml").read_bytes()
    assert not apply(project, "short")
    assert (project / "params.yaml").read_bytes() == once


def test_another_kind_replaces_the_whole_mapping(project: Path) -> None:
    write_profile(project, "mine", "data: {source: {kind: file, path: problems.jsonl}}\n")
    apply(project, "mine")
    assert yaml.safe_load((project / "params.yaml").read_text())["data"]["source"] == {
        "kind": "file",
        "path": "problems.jsonl",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("improve: {iterationz: 3}\n", "unknown key 'improve.iterationz'"),
        ("improve: {iterations: many}\n", "improve.iterations"),
        ("- 1\n", "must be a mapping"),
        ("improve: {\n", "not valid YAML"),
    ],
)
def test_a_faulty_profile_leaves_the_file_as_it_was(project: Path, text: str, said: str) -> None:
    write_profile(project, "bad", text)
    with pytest.raises(PolyEpoError) as caught:
        apply(project, "bad")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (project / "params.yaml").read_text() == PARAMS.read_text()


def test_unknown_profile_names_the_known_ones(project: Path) -> None:
    write_profile(project, "short", "{}")
    assert profile_names(project / "profiles") == ["short"]
    with pytest.raises(PolyEpoError, match=r"no such profile \(got '../short'\) -> known: short"):
        apply(project, "../short")
