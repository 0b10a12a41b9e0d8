from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from components.errors import PolyEpoError
from components.evaluation import adhoc
from components.evaluation.adhoc import Request, evaluate_model, make_plan
from components.evaluation.evaluate import content_digest
from components.evaluation.results import read_evaluation
from components.params import Params, load_params
from components.records import PROBLEM, Problem, problems_to_table, write_records
from components.scoring.params import ScoringParams
from flows.cli import app
from tests.unit.evaluation.reference import ReferenceEngine, polynomial_problems

PARAMS = Path(__file__).parents[3] / "params.yaml"


@pytest.fixture(scope="module")
def params() -> Params:
    return load_params(PARAMS)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a test split of eight problems and two policies; sampling is by reference."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(PARAMS.read_text())
    split = tmp_path / "workspace" / "data" / "test.parquet"
    split.parent.mkdir(parents=True)
    write_records(split, problems_to_table(polynomial_problems(8)), PROBLEM)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps({"name": name}))
    monkeypatch.setattr(adhoc, "get_engine", lambda _: ReferenceEngine(0.5, 4))
    return tmp_path


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=True)


@pytest.mark.usefixtures("place")
def test_an_evaluation_is_named_by_set_and_policy_and_is_found_again(params: Params) -> None:
    plan = make_plan(Request(samples=16), params)
    out = evaluate_model("one", plan, params)
    digest = content_digest(Path("workspace/data/test.parquet"))[:8]
    assert out == Path(f".poly-epo/evaluations/test-{digest}") / content_digest(Path("one"))[:20]
    assert read_evaluation("one", out).metrics["samples"] == 16
    assert evaluate_model("one", make_plan(Request(ks=[1, 200]), params), params) == out
    metrics = read_evaluation("one", out).metrics
    assert (metrics["samples"], metrics["ks"]) == (200, [1, 200])


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request(samples=8, ks=[1, 16]), r"--ks: k must be at most the 8 samples .*raise --samples to 16"),
        (Request(ks=[0, 4]), r"ks.0: Input should be greater than or equal to 1"),
        (Request(verifier="nobody"), r"verifier: .*must be one of domain"),
        (Request(set_name="aime_1999"), r"no evaluation set of this name"),
        (Request(set_name="validation"), r"the pipeline's validation split is not made yet"),
        (Request(set_name="champ", problems=Path("x.jsonl")), r"give --problems or --set, not both"),
        (Request(problems=Path("none.jsonl")), r"data file not found"),
    ],
)
def test_what_cannot_be_is_refused(request_: Request, message: str, params: Params) -> None:
    with pytest.raises(PolyEpoError, match=message):
        make_plan(request_, params)


def test_the_verifier_fits_the_problems(tmp_path: Path, params: Params) -> None:
    def verifier(*domains: str, **options: Any) -> ScoringParams:
        problems = [Problem(f"p{i}", f"q{i}", "1", domain, "test") for i, domain in enumerate(domains)]
        file = tmp_path / "p.parquet"
        write_records(file, problems_to_table(problems), PROBLEM)
        return make_plan(Request(problems=file, **options), params, state=tmp_path).scoring

    assert verifier("polynomial").verifier == "domain"
    assert verifier("math").verifier == "math_verify"
    assert verifier("reasoning_gym").verifier == "reasoning_gym"
    assert verifier("math", verifier="exact").verifier == "exact"
    with pytest.raises(PolyEpoError, match="need different verifiers"):
        verifier("math", "polynomial")


@pytest.mark.usefixtures("place")
def test_the_commands_from_evaluation_to_comparison() -> None:
    one = run("evaluate", "one", "--samples", "16", "--limit", "4", "--export", "exported")
    assert one.exit_code == 0, one.output
    assert "4 held-out problems, 16 samples each" in " ".join(one.output.split())
    assert len(list(Path("exported").glob("samples_test_4_*.jsonl"))) == 1
    both = run("compare", "A=one", "two", "--samples", "16", "--limit", "4", "--out", "compared")
    assert both.exit_code == 0, both.output
    assert "two - A" in both.output
    assert {path.stem for path in Path("compared/figures/dark").glob("*.svg")} >= {"pass_at_k", "differences"}
    assert [row["model"] for row in json.loads(Path("compared/table.json").read_text())["models"]] == ["A", "two"]


@pytest.mark.usefixtures("place")
def test_an_evaluation_directory_is_compared_as_it_stands() -> None:
    run("evaluate", "one", "--samples", "16", "--out", "kept")
    run("evaluate", "two", "--samples", "8", "--out", "fewer")
    refused = run("compare", "kept", "fewer", "--out", "compared")
    assert isinstance(refused.exception, PolyEpoError)
    assert "not comparable with 'kept': samples differ (16 and 8)" in str(refused.exception)
    assert not Path("compared").exists()
    flagged = run("compare", "kept", "fewer", "--out", "compared", "--allow-differences")
    assert flagged.exit_code == 0, flagged.output
    assert "note: fewer is not like for like with kept: samples differ" in " ".join(flagged.output.split())


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate"], "needs a MODEL or --import FILE"),
        (["evaluate", "one", "--import", "x.jsonl"], "needs a MODEL or --import FILE"),
        (["evaluate", "one", "--ks", "1;2"], "must be whole numbers separated by commas"),
        (["compare", "=one"], "must be A or NAME=A"),
        (["compare", "nothing"], "no model of this name"),
    ],
)
def test_wrong_arguments_are_one_line(arguments: list[str], message: str) -> None:
    failed = run(*arguments)
    assert isinstance(failed.exception, PolyEpoError)
    assert message in failed.exception.line()
