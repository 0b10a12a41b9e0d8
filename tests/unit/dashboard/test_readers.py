"""Runs, training, comparisons and rollouts read from workspaces, whole, growing and damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.dashboard.cache import Cache
from components.dashboard.comparing import Comparisons, params_that_differ
from components.dashboard.documents import Documents
from components.dashboard.rollouts import Rollouts
from components.dashboard.runs import Index, Run
from components.dashboard.series import read_training
from components.dashboard.sources import find_sources
from components.manifest import publish
from tests.unit.dashboard.example import ARMS, make_evaluation, make_iteration, make_workspace, write_timings


def runs_of(archive: Path) -> dict[str, Run]:
    return {run.id: run for run in Index(archive / "no-project", [archive], Documents()).runs()}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    make_workspace(tmp_path / "archive" / "one", seed=1)
    return tmp_path / "archive"


def test_a_finished_run(archive: Path) -> None:
    run = runs_of(archive)["one:poly_epo"]
    assert (run.status, run.iterations, run.planned) == ("evaluated", 6, 6)
    assert run.pass_8 is not None
    assert run.pass_8.low <= run.pass_8.value <= run.pass_8.high  # type: ignore[operator]
    assert run.data
    assert not run.problems
    assert runs_of(archive)["one:base"].status == "evaluated"


def test_a_growing_run_is_read_again(archive: Path) -> None:
    documents = Documents()
    index = Index(archive / "no-project", [archive], documents)
    make_iteration(archive / "one", "extra", 1, 4)
    first = next(run for run in index.runs() if run.model == "extra")
    assert (first.status, first.iterations) == ("training", 1)
    assert len(read_training(first, documents).iterations) == 1
    make_iteration(archive / "one", "extra", 2, 4)
    second = next(run for run in index.runs() if run.model == "extra")
    assert second.iterations == 2
    training = read_training(second, documents)
    assert [record["iteration"] for record in training.iterations] == [1, 2]
    assert training.evaluations[0]["iteration"] == 2


def test_history_and_iterations_say_the_same(archive: Path) -> None:
    run = runs_of(archive)["one:grpo"]
    finished = read_training(run, Documents())
    (archive / "one" / "improve" / "grpo" / "history.json").write_text("{ broken", encoding="utf-8")
    assert [r["reward_mean"] for r in read_training(run, Documents()).iterations] == [
        r["reward_mean"] for r in finished.iterations
    ]


def test_timings_give_the_speed(archive: Path) -> None:
    write_timings(archive / "one" / "timings" / "grpo.jsonl", 6)
    with (archive / "one" / "timings" / "grpo.jsonl").open("a") as stream:
        stream.write('{"iteration": 6, "step": "rol')
    record = read_training(runs_of(archive)["one:grpo"], Documents()).iterations[0]
    assert record["tokens_per_second"] == 9001.0
    assert record["seconds"] == 1.5


def test_an_evaluation_of_a_former_policy_does_not_count(archive: Path) -> None:
    make_evaluation(archive / "one", "grpo", archive / "one" / "base", skill=0.9)
    run = runs_of(archive)["one:grpo"]
    assert (run.status, run.pass_1) == ("trained", None)
    assert "former policy" in run.problems[0]


def test_a_damaged_part_is_told_and_the_rest_shown(archive: Path) -> None:
    (archive / "one" / "evaluation" / "grpo" / "metrics.json").write_text("{}", encoding="utf-8")
    (archive / "one" / "params.yaml").write_text("a: [", encoding="utf-8")
    runs = runs_of(archive)
    assert any("differs from its manifest" in problem for problem in runs["one:grpo"].problems)
    assert any("params.yaml" in problem for problem in runs["one:poly_epo"].problems)
    assert runs["one:poly_epo"].pass_1 is not None


def test_sources_are_unique_and_plain(tmp_path: Path) -> None:
    for name in ("a/x", "b/x", "a/.hidden", "a/with:colon", "a/checkout/workspace"):
        (tmp_path / name).mkdir(parents=True)
    sources = {source.name: source for source in find_sources(tmp_path, [tmp_path / "a", tmp_path / "b"])}
    assert list(sources) == ["current", "checkout", "x", "x-2"]
    assert sources["checkout"].workspace == tmp_path / "a/checkout/workspace"
    assert sources["x-2"].workspace == tmp_path / "b/x"


def test_paired_differences_are_those_of_the_estimators(archive: Path) -> None:
    runs = runs_of(archive)
    chosen = [runs["one:base"], runs["one:grpo"], runs["one:poly_epo"]]
    rows = Comparisons().rows(chosen)
    assert [(row.baseline.model, row.candidate.model) for row in rows] == [
        ("base", "grpo"),
        ("base", "poly_epo"),
        ("grpo", "poly_epo"),
    ]
    difference = rows[0].differences["pass@8"]
    assert difference.low <= difference.value <= difference.high
    expected = chosen[1].pass_8.value - chosen[0].pass_8.value  # type: ignore[union-attr]
    assert difference.value == pytest.approx(expected, abs=1e-9)


def test_other_problems_are_not_compared(archive: Path) -> None:
    make_evaluation(archive / "one", "grpo", archive / "one" / "improve/grpo/final", skill=0.4, problems=39)
    runs = runs_of(archive)
    (row,) = Comparisons().rows([runs["one:base"], runs["one:grpo"]])
    assert "problems differ" in row.refused


def test_only_params_that_differ(archive: Path) -> None:
    make_workspace(archive / "two", arms=("poly_epo",), iterations=2, params={"training": {"learning_rate": 1e-5}})
    runs = runs_of(archive)
    rows = params_that_differ([runs["one:poly_epo"], runs["two:poly_epo"]], Documents())
    assert {row.name: row.values for row in rows}["training.learning_rate"] == ["0.0003", "1e-05"]
    assert "improve.group_size" not in [row.name for row in rows]
    arms = params_that_differ([runs["one:grpo"], runs["one:poly_epo"]], Documents())
    assert {row.name: row.values for row in arms}["arm.objective.set_size"] == [None, "4"]


def test_rollouts_are_grouped_and_explained(archive: Path) -> None:
    run, rollouts = runs_of(archive)["one:poly_epo"], Rollouts()
    assert rollouts.problems(run, 3) == ["train-0", "train-1", "train-2", "train-3"]
    group = rollouts.group(run, 3, "train-1", ARMS["poly_epo"]["objective"])  # type: ignore[arg-type]
    assert group is not None
    assert group.size == 8
    assert sum(len(cluster.completions) for cluster in group.clusters) == 8
    for cluster in group.clusters:
        for completion in cluster.completions:
            assert completion.terms is not None
            total = completion.terms.own + completion.terms.partners + completion.terms.rule
            assert total == pytest.approx(completion.score)
            parts = completion.terms.product + completion.terms.covariance
            assert parts == pytest.approx(completion.advantage)
    assert rollouts.prompt(run, "train-1") == "y=x^2+1x:"
    assert rollouts.group(run, 3, "none", {}) is None
    assert rollouts.problems(run, 99) == []


def test_terms_that_do_not_fit_the_file_are_not_shown(archive: Path) -> None:
    run = runs_of(archive)["one:poly_epo"]
    group = Rollouts().group(run, 3, "train-1", {"name": "poly_epo", "set_size": 3})
    assert group is not None
    assert group.set_size == 0
    assert "params.yaml has changed" in group.note


def test_an_objective_named_by_import_path_is_not_imported(archive: Path, tmp_path: Path) -> None:
    module = tmp_path / "evil_objective.py"
    module.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')", encoding="utf-8")
    arms = {"poly_epo": {"objective": {"name": "evil_objective:Thing"}}}
    make_workspace(archive / "two", arms=("poly_epo",), iterations=1, params={"arms": arms})
    run = runs_of(archive)["two:poly_epo"]
    group = Rollouts().group(run, 1, "train-0", {"name": "evil_objective:Thing"})
    assert group is not None
    assert not (tmp_path / "ran").exists()


def test_the_cache_forgets_the_oldest_and_what_has_changed() -> None:
    cache, made = Cache(2), []

    def get(key: str, stamp: int) -> str:
        return cache.get(key, stamp, lambda: made.append((key, stamp)) or key)  # type: ignore[func-returns-value]

    for key, stamp in (("a", 1), ("a", 1), ("a", 2), ("b", 1), ("c", 1), ("b", 1), ("a", 2)):
        assert get(key, stamp) == key
    assert made == [("a", 1), ("a", 2), ("b", 1), ("c", 1), ("a", 2)]


def test_yaml_numbers_and_lists_are_shown_as_text(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("training: {betas: [0.9, 0.95], x: {}}\ntracking: {uri: secret}\n", encoding="utf-8")
    assert Documents().params(path) == {"training.betas": "[0.9, 0.95]", "training.x": "{}"}


def test_results_of_gates_are_one_object_or_several(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps([{"gate": "a"}, 3]), encoding="utf-8")
    assert Documents().objects(path) == [{"gate": "a"}]
    with publish(tmp_path / "gate", fingerprint="f"):
        pass
    assert Documents().objects(tmp_path / "gate" / "result.json") == []
