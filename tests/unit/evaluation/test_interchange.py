from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.errors import PolyEpoError
from components.evaluation.adhoc import Plan, evaluate_import
from components.evaluation.export import export_samples
from components.evaluation.interchange import read_samples
from components.evaluation.results import read_evaluation
from components.records import PROBLEM, Problem, problems_to_table, write_records
from components.rollout.params import RolloutParams
from components.scoring.params import ScoringParams
from tests.unit.evaluation.reference import ReferenceEngine, polynomial_problems, publish_evaluation, small_params

PROBLEMS = [Problem("a", "What is 6 * 7?", "42", "math", "test"), Problem("b", "What is 1 + 1?", "2", "math", "test")]


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def plain(problem_id: str, *completions: str) -> list[dict[str, Any]]:
    return [{"problem_id": problem_id, "completion": completion} for completion in completions]


def harness(document: dict[str, Any], *responses: str, **more: Any) -> dict[str, Any]:
    arguments = {"gen_args_0": {"arg_0": "prompt", "arg_1": {"temperature": 0.6, "top_p": 0.95, "max_gen_toks": 512}}}
    row = {"doc_id": 0, "doc": document, "target": "42", "arguments": arguments, "resps": [list(responses)]}
    return {**row, "filtered_resps": [list(responses)], "filter": "none", "metrics": [], **more}


def plan_for(root: Path, problems: list[Problem], **changes: Any) -> Plan:
    file = root / "problems.parquet"
    write_records(file, problems_to_table(problems), PROBLEM)
    scoring = ScoringParams(**{"verifier": "exact", **changes})
    return Plan(file, "mine", small_params(), RolloutParams(max_new_tokens=12), scoring, root / "state")


def test_plain_lines_are_grouped_by_problem_whatever_their_order(tmp_path: Path) -> None:
    rows = [*plain("b", "2"), *plain("a", "42", "41"), *plain("b", "3")]
    rows[0]["finish_reason"] = "length"
    read = read_samples(lines(tmp_path / "s.jsonl", *rows, "", "  "), PROBLEMS)
    assert read.samples == 2
    kept = read.rollouts.select(["problem_id", "sample_index", "completion", "finish_reason"]).to_pylist()
    assert [tuple(row.values()) for row in kept] == [
        ("a", 0, "42", "stop"),
        ("a", 1, "41", "stop"),
        ("b", 0, "2", "length"),
        ("b", 1, "3", "stop"),
    ]
    assert read.sampling == {"temperature": None, "top_p": None, "max_new_tokens": None}


def test_harness_lines_find_their_problem_by_id_or_text_and_state_the_sampling(tmp_path: Path) -> None:
    rows = [
        harness({"problem": " what is 6 * 7? ", "answer": "42"}, "42", "40", filter="strict-match"),
        harness({"id": "b", "question": "?"}, "2", "2", filter="strict-match"),
        harness({"problem": "What is 6 * 7?"}, "42", "40", filter="flexible-extract"),
    ]
    read = read_samples(lines(tmp_path / "s.jsonl", *rows), PROBLEMS)
    assert read.rollouts.column("completion").to_pylist() == ["42", "40", "2", "2"]
    assert read.sampling == {"temperature": 0.6, "top_p": 0.95, "max_new_tokens": 512}


def test_settings_that_differ_between_lines_are_unknown_and_greedy_is_temperature_zero(tmp_path: Path) -> None:
    rows = [{**plain("a", "42")[0], "temperature": 1.0}, {**plain("b", "2")[0], "temperature": 0.5}]
    assert read_samples(lines(tmp_path / "s.jsonl", *rows), PROBLEMS).sampling["temperature"] is None
    greedy = {"gen_args_0": {"arg_0": "", "arg_1": {"do_sample": False, "temperature": 0.7}}}
    greedy_rows = [harness({"id": name}, "1", arguments=greedy) for name in ("a", "b")]
    assert read_samples(lines(tmp_path / "g.jsonl", *greedy_rows), PROBLEMS).sampling["temperature"] == 0.0


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["{"], r"s.jsonl line 1: not JSON"),
        (["[1]"], r"line 1: not a JSON object"),
        (['{"a": ' * 100_000], r"line 1: not JSON"),
        (plain("a", "1") + plain("z", "1"), r"line 2: 'problem_id' names no problem of the set \(got 'z'\)"),
        ([{"problem_id": 1, "completion": "1"}], r"line 1: 'problem_id' is not text"),
        ([{"problem_id": "a"}], r"line 1: 'completion' is not text ->"),
        ([{"problem_id": "a", "completion": None}], r"line 1: 'completion' is not text"),
        ([{"problem_id": "a", "completion": "1", "finish_reason": "x"}], r"'finish_reason' is not known"),
        ([harness({"id": "a"}, "1"), harness({"id": "a"}, "2")], r"line 2: the problem was sampled twice \(got 'a'\)"),
        ([harness({"id": ["a"]}, "1")], r"line 1: 'doc' is no problem of the set"),
        ([{"doc": 1, "resps": []}], r"line 1: 'doc' is not an object"),
        ([harness({"id": "a"}, resps=[[-1.5, False]])], r"line 1: 'resps' is not text"),
        ([harness({"id": "a"}, resps=[["1"], ["2"]])], r"line 1: 'resps' is not one list of generations"),
        (plain("a", "1"), r"1 of 2 problems have fewer than 1 samples \(got \['b has 0'\]\)"),
        (plain("a", "1", "2") + plain("b", "1"), r"fewer than 2 samples \(got \['b has 1'\]\) -> lower --samples"),
    ],
)
def test_malformed_files_are_refused_by_file_and_line(tmp_path: Path, rows: list[Any], message: str) -> None:
    with pytest.raises(PolyEpoError, match=message):
        read_samples(lines(tmp_path / "s.jsonl", *rows), PROBLEMS)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(PolyEpoError, match="cannot read the samples: No such file"):
        read_samples(tmp_path / "none.jsonl", PROBLEMS)


def test_hostile_text_is_kept_as_text(tmp_path: Path) -> None:
    nasty = ["\ud800 half a pair", "\x00\x1b[31m", "<script>alert(1)</script>", "9^9^9^9", "=cmd()", "\u202egnirts"]
    file = lines(tmp_path / "s.jsonl", *plain("a", *nasty), *plain("b", *nasty))
    plan = plan_for(tmp_path, PROBLEMS)
    out = evaluate_import(file, plan)
    evaluation = read_evaluation("import", out)
    assert evaluation.metrics["pass@1"]["value"] == 0.0
    assert read_samples(file, PROBLEMS).rollouts.column("completion").to_pylist()[0] == "\ufffd half a pair"
    assert export_samples(out, PROBLEMS, tmp_path / "export")


def test_imported_samples_are_judged_by_our_verifier(tmp_path: Path) -> None:
    good, bad = "so <answer>42</answer>", "so <answer>41</answer>"
    file = lines(tmp_path / "s.jsonl", *plain("a", good, bad, bad, bad), *plain("b", *["<answer>2</answer>"] * 4))
    plan = plan_for(tmp_path, PROBLEMS)
    out = evaluate_import(file, plan)
    metrics = read_evaluation("import", out).metrics
    assert metrics["pass@1"]["value"] == pytest.approx((0.25 + 1.0) / 2)
    assert (metrics["samples"], metrics["verifier"], metrics["temperature"]) == (4, "exact", None)
    assert metrics["policy"].startswith("import:")
    before = (out / "manifest.json").stat().st_mtime_ns
    assert evaluate_import(file, plan) == out
    assert (out / "manifest.json").stat().st_mtime_ns == before
    fewer = evaluate_import(file, plan, tmp_path / "two", samples=2)
    assert read_evaluation("import", fewer).metrics["pass@1"]["value"] == pytest.approx((0.5 + 1.0) / 2)


def test_an_export_holds_the_harness_fields_and_comes_back_as_the_same_numbers(tmp_path: Path) -> None:
    published = publish_evaluation(tmp_path, "base", ReferenceEngine(0.5, 3), problems=4)
    problems = polynomial_problems(4)
    assert export_samples(published, problems, tmp_path / "export", task="poly test")
    assert not export_samples(published, problems, tmp_path / "export", task="poly test")
    (samples,) = (tmp_path / "export").glob("samples_poly_test_*.jsonl")
    (results,) = (tmp_path / "export").glob("results_*.json")
    rows = [json.loads(line) for line in samples.read_text().splitlines()]
    # The keys that evaluator.py of lm-eval 0.4.13 writes, and the metrics after them.
    assert list(rows[0])[:11] == [
        "doc_id",
        "doc",
        "target",
        "arguments",
        "resps",
        "filtered_resps",
        "filter",
        "metrics",
        "doc_hash",
        "prompt_hash",
        "target_hash",
    ]
    assert list(rows[0])[11:] == rows[0]["metrics"]
    assert rows[0]["arguments"]["gen_args_0"]["arg_0"] == problems[0].prompt
    assert len(rows[0]["resps"][0]) == 16
    document = json.loads(results.read_text())
    first = read_evaluation("base", published)
    assert document["results"]["poly_test"]["pass@8,none"] == pytest.approx(first.metrics["pass@8"]["value"], abs=1e-9)
    assert document["results"]["poly_test"]["pass@8_stderr,none"] > 0
    again = evaluate_import(samples, plan_for(tmp_path, problems, verifier="domain"))
    second = read_evaluation("again", again)
    assert second.values("pass@8").tolist() == first.values("pass@8").tolist()
    assert second.metrics["temperature"] == 1.0


def test_an_export_needs_the_evaluations_own_problems(tmp_path: Path) -> None:
    published = publish_evaluation(tmp_path, "base", ReferenceEngine(0.5, 3), problems=4)
    with pytest.raises(PolyEpoError, match="made on other problems"):
        export_samples(published, polynomial_problems(3), tmp_path / "export")
