"""docs/scoring.md tells users how to write a verifier: what it shows must run."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
import yaml

from components.records import Problem
from components.scoring.params import ScoringParams
from components.scoring.scorer import Scorer
from tests.unit.evaluation.reference import rollout_table

PAGE = Path("docs/scoring.md")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)


def test_the_params_shown_are_those_of_the_project() -> None:
    shown = yaml.safe_load(blocks("yaml")[0])["scoring"]
    assert ScoringParams.model_validate(shown) == ScoringParams()
    assert {*shown, "judge", "embedding"} == set(ScoringParams.model_fields)  # those two have a page of their own


def test_the_verifier_shown_scores_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [code] = blocks("python")
    (tmp_path / "sorting_rewards.py").write_text(code)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    params = ScoringParams.model_validate(yaml.safe_load(blocks("yaml")[1])["scoring"])
    problem = Problem("s0", "Sort 3 1 2.", "3 1 2", "sorting", "train", json.dumps({}))
    texts = ["merge 1 3 with 2 => 1 2 3", "put 1 before 3 => 1 2 3", "merge => 3 2 1", "no idea"]
    with Scorer(params, {"name": "poly_epo", "set_size": 2}) as scorer:
        table = scorer.score(rollout_table({"s0": texts}), [problem]).table
    assert table.column("reward").to_pylist() == [1.0, 1.0, 0.0, 0.0]
    assert table.column("cluster_id").to_pylist() == [0, 1, 0, -1]
    assert table.column("strategy").to_pylist() == ["merge", "insertion", "merge", ""]
    assert table.column("parsed_answer").to_pylist() == ["1 2 3", "1 2 3", "3 2 1", None]
