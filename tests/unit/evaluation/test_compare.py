from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pytest

from components.errors import PolyEpoError
from components.evaluation import compare as command
from components.evaluation.compare import compare
from components.evaluation.params import EvaluationParams
from components.evaluation.results import Evaluation, History, read_evaluation, read_history
from components.evaluation.table import comparison_document, difference_table, markdown, result_table
from tests.unit.evaluation.reference import ReferenceEngine, history_document, publish_evaluation, small_params

ENGINES = {"base": ReferenceEngine(0.1, 9), "grpo": ReferenceEngine(0.9, 1), "poly_epo": ReferenceEngine(0.6, 5)}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("published")
    for name, engine in ENGINES.items():
        publish_evaluation(root, name, engine)
    for name, distinct in (("grpo", 1.0), ("poly_epo", 5.5)):
        (root / f"{name}.json").write_text(json.dumps(history_document(distinct)))
    return root


@pytest.fixture(scope="module")
def evaluations(published: Path) -> list[Evaluation]:
    return [read_evaluation(name, published / "evaluation" / name) for name in ENGINES]


@pytest.fixture(scope="module")
def histories(published: Path) -> list[History]:
    return [read_history(name, published / f"{name}.json") for name in ("grpo", "poly_epo")]


def files(directory: Path) -> dict[str, bytes]:
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def test_table_and_figures_are_the_same_bytes_every_time(
    tmp_path: Path, evaluations: list[Evaluation], histories: list[History]
) -> None:
    assert compare(evaluations, histories, tmp_path / "one", params=small_params())
    assert compare(evaluations, histories, tmp_path / "two", params=small_params())
    one = files(tmp_path / "one")
    assert one == files(tmp_path / "two")
    names = ("branching", "coverage", "differences", "distinct_correct", "pass_at_k", "strategies")
    figures = [f"figures/{theme}{n}.{kind}" for theme in ("", "dark/") for n in names for kind in ("png", "svg")]
    data = [f"{name}.csv" for name in names]
    assert sorted(one) == sorted([*data, *figures, "manifest.json", "metrics.json", "table.json", "table.md"])
    for name in figures:
        assert one[name].startswith(b"\x89PNG" if name.endswith("png") else b"<?xml")
    assert not compare(evaluations, histories, tmp_path / "one", params=small_params())


def test_one_evaluation_without_history_has_no_differences_and_nothing_over_training(
    tmp_path: Path, evaluations: list[Evaluation]
) -> None:
    compare(evaluations[:1], [], tmp_path / "out", params=small_params())
    drawn = {path.stem for path in (tmp_path / "out" / "figures").glob("*.png")}
    assert drawn == {"pass_at_k", "strategies", "branching"}
    assert "Paired differences" not in (tmp_path / "out" / "table.md").read_text()


def test_the_document_holds_every_pair(evaluations: list[Evaluation]) -> None:
    document = comparison_document(evaluations, small_params())
    assert document["columns"] == ["pass@1", "pass@8", "maj@8", "distinct_correct"]
    pairs = [(row["candidate"], row["baseline"]) for row in document["differences"]]
    assert pairs == [("grpo", "base"), ("poly_epo", "base"), ("poly_epo", "grpo")]
    values = {row["model"]: row["metrics"]["distinct_correct"]["value"] for row in document["models"]}
    difference = document["differences"][2]["metrics"]["distinct_correct"]
    assert difference["value"] == pytest.approx(values["poly_epo"] - values["grpo"])
    assert difference["low"] > 0
    assert difference["probability"] == 1.0
    assert json.loads(json.dumps(document)) == document


def test_the_text_tables(evaluations: list[Evaluation]) -> None:
    document = comparison_document(evaluations, small_params())
    results, differences = result_table(document), difference_table(document)
    assert results.headers == ["model", "pass@1", "pass@8", "maj@8", "distinct correct of 8"]
    assert [row[0] for row in results.rows] == ["base", "GRPO", "Poly-EPO"]
    assert [row[0] for row in differences.rows] == ["GRPO - base", "Poly-EPO - base", "Poly-EPO - GRPO"]
    entry = document["models"][0]["metrics"]["pass@1"]
    assert results.rows[0][1] == f"{entry['value']:.2f} [{entry['low']:.2f}, {entry['high']:.2f}]"
    assert differences.rows[0][1].startswith("+0.")
    assert "12 held-out problems, 16 samples each" in results.title
    assert "verifier domain; 95% Bayesian intervals" in results.title
    probability = document["differences"][0]["metrics"]["pass@1"]["probability"]
    assert differences.rows[0][1].endswith(f"] P\N{NO-BREAK SPACE}{probability:.2f}")
    text = markdown(document)
    assert text.count("\n|---|") == 2
    assert all(line.count("|") == 6 for line in text.splitlines() if line.startswith("|"))


def test_plot_data_can_be_read_back(tmp_path: Path, evaluations: list[Evaluation], histories: list[History]) -> None:
    compare(evaluations, histories, tmp_path / "out", params=small_params())

    def rows(name: str) -> list[dict[str, str]]:
        with (tmp_path / "out" / name).open(newline="") as stream:
            return list(csv.DictReader(stream))

    curve = [row for row in rows("pass_at_k.csv") if row["model"] == "base"]
    assert [row["k"] for row in curve] == ["1", "2", "4", "8", "16"]
    assert float(curve[0]["value"]) == pytest.approx(evaluations[0].values("pass@1").mean())
    assert [row["iteration"] for row in rows("distinct_correct.csv")[:7]] == [str(10 * i) for i in range(7)]
    coverage = rows("coverage.csv")
    first = [float(row["value"]) for row in coverage[:3]]
    assert float(coverage[0]["smoothed"]) == pytest.approx(sum(first) / 3)
    assert len(coverage) == 120


def test_other_problems_are_not_comparable(tmp_path: Path, evaluations: list[Evaluation]) -> None:
    other = read_evaluation("grpo", publish_evaluation(tmp_path, "grpo", ENGINES["grpo"], problems=5))
    with pytest.raises(
        PolyEpoError, match=r"not comparable with 'base': problems differ, 7 are missing and 0 are not in 'base' .*p005"
    ):
        comparison_document([evaluations[0], other], small_params())
    with pytest.raises(PolyEpoError, match="different names"):
        comparison_document([evaluations[0], evaluations[0]], small_params())


def test_a_metric_that_was_not_measured_is_named(evaluations: list[Evaluation]) -> None:
    with pytest.raises(PolyEpoError, match=r"pass@64.*measured: pass@1, pass@2"):
        evaluations[0].values("pass@64")


def test_the_command_line(tmp_path: Path, published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [f"{name}={published / 'evaluation' / name}" for name in ENGINES]
    options = [part for entry in entries for part in ("--evaluation", entry)]
    options += ["--history", f"grpo={published / 'grpo.json'}", "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["compare", *options])
    command.main()
    document = json.loads((tmp_path / "out" / "table.json").read_text())
    assert [row["model"] for row in document["models"]] == list(ENGINES)


def test_the_command_line_of_the_pipeline_compares_the_base_and_every_arm(
    tmp_path: Path, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "evaluation").symlink_to(published / "evaluation")
    for arm in ("grpo", "poly_epo"):
        (workspace / "improve" / arm).mkdir(parents=True)
        (workspace / "improve" / arm / "history.json").symlink_to(published / f"{arm}.json")
    options = ["--workspace", str(workspace), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["compare", *options])
    command.main()
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert list(metrics) == ["base", "grpo", "poly_epo"]
    assert metrics["grpo"] == json.loads((published / "evaluation" / "grpo" / "metrics.json").read_text())
    monkeypatch.setattr(sys, "argv", ["compare", *options, "--evaluation", "base=x"])
    with pytest.raises(PolyEpoError, match="one of them"):
        command.main()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--evaluation", "base"], "must have the form NAME=PATH"),
        (["--evaluation", "base="], "must have the form NAME=PATH"),
        (["--evaluation", "base=/no/such"], "no evaluation here"),
        (["--evaluation", "base=BASE", "--history", "grpo=/no/such.json"], "no history here"),
        (["--evaluation", "base=BASE", "--history", "grpo=NOT_A_HISTORY"], "not a training history"),
    ],
)
def test_wrong_options_are_one_error_line(
    options: list[str], message: str, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "list.json").write_text("[]")
    places = {"BASE": str(published / "evaluation" / "base"), "NOT_A_HISTORY": str(tmp_path / "list.json")}
    for mark, place in places.items():
        options = [option.replace(mark, place) for option in options]
    monkeypatch.setattr(sys, "argv", ["compare", *options, "--out", str(tmp_path / "out")])
    with pytest.raises(PolyEpoError, match=message):
        command.main()
    assert not (tmp_path / "out").exists()


def test_the_default_params_show_the_columns_of_the_report(tmp_path: Path) -> None:
    out = publish_evaluation(
        tmp_path, "base", ENGINES["base"], problems=3, params=EvaluationParams(bootstrap_draws=100)
    )
    document = comparison_document([read_evaluation("base", out)], EvaluationParams(bootstrap_draws=100))
    assert document["columns"] == ["pass@1", "pass@8", "pass@32", "maj@32", "distinct_correct"]
    assert result_table(document).headers[-1] == "distinct correct of 64"
