from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from components.errors import PolyEpoError
from components.records import PROBLEM, SCORED_ROLLOUT, problems_to_table, write_records
from components.scoring.params import ScoringParams
from components.scoring.scorer import Scorer
from flows.cli import app
from tests.unit.evaluation.reference import polynomial_problems, right_answer, rollout_table

TEXTS = {f"p00{n}": [right_answer(n, 1), right_answer(n, 1), right_answer(n, 2), "(1,99)", "no idea"] for n in range(3)}


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    problems = polynomial_problems(3)
    write_records(tmp_path / "problems.parquet", problems_to_table(problems), PROBLEM)
    with Scorer(ScoringParams(), {"name": "grpo"}) as scorer:
        write_records(tmp_path / "scored.parquet", scorer.score(rollout_table(TEXTS), problems).table, SCORED_ROLLOUT)
    return ["clusters", "agree", str(tmp_path / "scored.parquet"), "--problems", str(tmp_path / "problems.parquet")]


def run(arguments: list[str], first: str, second: str, *options: str) -> str:
    result = CliRunner().invoke(app, [*arguments, "--first", first, "--second", second, *options])
    if result.exception is not None:
        raise result.exception
    return result.stdout


def test_a_clusterer_agrees_with_what_it_recorded(files: list[str]) -> None:
    report = json.loads(run(files, "recorded", "answer", "--json"))
    assert report["adjusted_rand_index"]["value"] == 1.0
    assert (report["groups"], report["left_out"], report["trivial"]) == (3, 0, 0)
    assert report["one_sided"] == 0.0
    assert report["distinct"] == [3.0, 3.0]


def test_the_report_reads_well_and_can_be_limited(files: list[str]) -> None:
    told = run(files, "answer", "strategy", "--limit", "2")
    assert "adjusted Rand index of answer and strategy: 1.000" in told
    assert "2 groups" in told


@pytest.mark.parametrize(
    ("first", "second", "match"),
    [("kmeans", "answer", "answer"), ("answer", "judge", r"needs judge\.model")],
)
def test_a_clusterer_that_cannot_be_had_is_one_line(files: list[str], first: str, second: str, match: str) -> None:
    with pytest.raises(PolyEpoError, match=match):
        run(files, first, second)


def test_files_that_do_not_fit_are_told(files: list[str], tmp_path: Path) -> None:
    with pytest.raises(PolyEpoError, match="no readable Parquet file"):
        run([*files[:2], str(tmp_path / "none.parquet"), *files[3:]], "answer", "recorded")
    pq.write_table(pa.table({"problem_id": ["p"]}), tmp_path / "other.parquet")
    with pytest.raises(PolyEpoError, match="no column 'completion'"):
        run([*files[:2], str(tmp_path / "other.parquet"), *files[3:]], "answer", "recorded")
    write_records(tmp_path / "problems.parquet", problems_to_table(polynomial_problems(2)), PROBLEM)
    with pytest.raises(PolyEpoError, match="problems that are not given"):
        run(files, "answer", "recorded")
