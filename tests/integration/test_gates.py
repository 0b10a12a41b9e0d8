"""The gates on real tables: a sound table passes, every fault stops with expectation, rows and remedy."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from components.data.gates.external import refuse_contamination
from components.data.gates.run import gate_problems, gate_rollouts, gate_scored, run_gate
from components.data.params import DataParams
from components.data.stage import make_data
from components.errors import PolyEpoError
from components.records import PROBLEM, ROLLOUT, SCORED_ROLLOUT

N = 4
PARAMS = Path(__file__).parents[2] / "params.yaml"


def scored_rows(problems: int = 3) -> list[dict]:
    advantages = np.array([0.3, -0.1, -0.1, -0.1])
    row = {
        "prompt_ids": [1, 2],
        "completion_ids": [3, 4, 0],
        "rollout_logprobs": [-0.5, -1.0, 0.0],
        "completion": "<script>(1,2)</script>",
        "finish_reason": "stop",
        "policy_version": 0,
        "engine": "transformers",
        "seed": 0,
        "parsed_answer": "(1,2)",
        "reward": 1.0,
        "cluster_id": 0,
        "strategy": "s",
        "set_objective": 0.5,
    }
    return [
        {**row, "problem_id": f"p{problem}", "sample_index": index, "marginal_advantage": float(advantages[index])}
        for problem in range(problems)
        for index in range(N)
    ]


def problem_rows() -> list[dict]:
    return [
        {
            "problem_id": f"p{n}",
            "prompt": f"prompt {n}",
            "answer": "1",
            "domain": "math",
            "split": split,
            "metadata": "{}",
        }
        for n, split in enumerate(["train", "train", "validation", "test"])
    ]


def scored(rows):
    return pa.Table.from_pylist(rows, schema=SCORED_ROLLOUT)


def problems(rows):
    return pa.Table.from_pylist(rows, schema=PROBLEM)


def test_sound_tables_pass():
    table = scored(scored_rows())
    assert gate_scored(table, group_size=N).rows == 12
    assert gate_rollouts(table.select(ROLLOUT.names), group_size=N).rows == 12
    assert gate_problems(problems(problem_rows())).rows == 4


@pytest.mark.parametrize(
    ("row", "change", "message"),
    [
        (5, {"reward": 1.5}, r"rewards are within \[0, 1\] \(got 'row 5 \(p1\): reward=1.5'\) -> mend the verifier"),
        (5, {"reward": float("nan")}, "every completion has a reward"),
        (5, {"parsed_answer": None}, r"no full reward without a parsed answer.*row 5 \(p1\)"),
        (5, {"cluster_id": -2}, r"cluster ids are at least -1 .*row 5 \(p1\): cluster_id=-2"),
        (5, {"cluster_id": -1}, "degenerate completions name no strategy"),
        (5, {"marginal_advantage": 0.2}, r"advantages sum to zero in each group .*row 4 \(p1\)"),
        (5, {"marginal_advantage": float("inf")}, "advantages are finite"),
        (5, {"set_objective": float("nan")}, "set objectives are finite"),
        (5, {"rollout_logprobs": [-0.5, -1.0]}, r"one log-probability for each completion token .*row 5"),
        (5, {"rollout_logprobs": [-0.5, float("nan"), 0.0]}, "log-probabilities are finite and at most 0"),
        (5, {"rollout_logprobs": [-0.5, 0.1, 0.0]}, "log-probabilities are finite and at most 0"),
        (5, {"completion_ids": [], "rollout_logprobs": []}, "no completion is without tokens"),
        (5, {"finish_reason": "eos"}, r"finish_reason is one of stop, length .*eos"),
        (5, {"sample_index": 0}, "sample_index is unique within the group"),
        (5, {"sample_index": 4}, "sample_index is within the group"),
        (5, {"policy_version": 1}, "one policy version sampled the whole table"),
        (5, {"problem_id": "p0"}, r"every problem has exactly 4 completions .*row 0 \(p0\): group_rows=5"),
    ],
)
def test_a_fault_stops_with_expectation_rows_and_remedy(row, change, message):
    rows = scored_rows()
    rows[row] |= change
    with pytest.raises(PolyEpoError, match=message) as caught:
        run_gate("scored", scored(rows), group_size=N, where="iteration 25")
    assert caught.value.line().startswith("iteration 25: gate scored failed: ")


@pytest.mark.parametrize(
    ("row", "change", "message"),
    [
        (1, {"problem_id": "p0"}, r"problem ids are unique .*row 0 \(p0\).*row 1 \(p0\)"),
        (3, {"prompt": "Prompt  0"}, r"no problem is in two splits .*row 0 \(p0\).*row 3 \(p3\)"),
        (1, {"prompt": "prompt 0"}, "no prompt is repeated"),
        (1, {"prompt": " "}, "no prompt is empty"),
        (1, {"answer": ""}, "every problem has an answer"),
        (1, {"metadata": "[]"}, "metadata is a JSON object"),
        (1, {"split": "dev"}, "split is one of train, validation, test"),
        (3, {"split": "train"}, r"all three splits have problems .*missing.*\['test'\]"),
    ],
)
def test_faulty_problems_stop(row, change, message):
    rows = problem_rows()
    rows[row] |= change
    with pytest.raises(PolyEpoError, match=message):
        gate_problems(problems(rows))


def test_missing_columns_empty_tables_and_a_missing_group_size_stop():
    with pytest.raises(PolyEpoError, match=r"missing \['parsed_answer', 'reward'"):
        run_gate("scored", scored(scored_rows()).select(ROLLOUT.names), group_size=N)
    with pytest.raises(PolyEpoError, match=r"the table has rows .*\{'rows': 0\}"):
        run_gate("rollouts", scored([]).select(ROLLOUT.names), group_size=N)
    with pytest.raises(ValueError, match="needs group_size"):
        run_gate("rollouts", scored(scored_rows()).select(ROLLOUT.names))


def test_results_are_deterministic_and_docs_hold_no_model_output(tmp_path):
    for name in ("one", "two"):
        run_gate(
            "scored",
            scored(scored_rows()),
            group_size=N,
            result_dir=tmp_path / name,
            docs_dir=tmp_path / f"docs-{name}",
        )
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert one == two
    assert json.loads(one["result.json"])["success"] is True
    pages = list((tmp_path / "docs-one").rglob("*.html"))
    assert (tmp_path / "docs-one/index.html") in pages
    assert not any("(1,2)" in page.read_text(encoding="utf-8") for page in pages)


def test_a_failed_gate_publishes_nothing_but_keeps_its_docs(tmp_path):
    rows = scored_rows()
    rows[0]["reward"] = -1.0
    with pytest.raises(PolyEpoError, match=r"Data Docs: .*docs/index.html"):
        run_gate("scored", scored(rows), group_size=N, result_dir=tmp_path / "gate", docs_dir=tmp_path / "docs")
    assert [path.name for path in tmp_path.iterdir()] == ["docs"]
    assert (tmp_path / "docs/index.html").is_file()


def test_the_command_gates_published_problems(tmp_path):
    make_data(
        DataParams.model_validate(
            {"source": {"kind": "polynomial", "coefficient_range": 3}, "test": 9, "validation": 9}
        ),
        tmp_path / "data",
    )
    command = [
        sys.executable,
        "-m",
        "components.data.gates",
        "problems",
        "--params",
        PARAMS,
        "--data",
        tmp_path / "data",
    ]
    command += ["--out", tmp_path / "gate", "--docs", tmp_path / "docs"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    assert json.loads((tmp_path / "gate/result.json").read_text())["rows"] == 49
    assert (tmp_path / "gate/manifest.json").is_file()


def test_nothing_imports_great_expectations_before_a_gate_runs():
    code = "import sys, components.data.gates.run, components.params; sys.exit('great_expectations' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


def test_advantages_of_an_objective_that_does_not_centre_groups_need_not_sum_to_zero() -> None:
    from components.data.gates.expectations import Gate, expectations

    meanings = {
        zero_sum: [item.meaning for item in expectations(Gate.SCORED, 4, zero_sum=zero_sum)]
        for zero_sum in (True, False)
    }
    assert set(meanings[True]) - set(meanings[False]) == {"advantages sum to zero in each group"}


RIDDLE = "A farmer has 17 sheep and 24 goats in a field of 350 square metres. How many legs stand in that field in all?"


def test_a_held_out_problem_hardly_changed_from_a_training_one_stops_the_gate():
    rows = problem_rows()
    rows[1]["prompt"], rows[3]["prompt"] = RIDDLE, f"Solve: {RIDDLE.lower()}"
    with pytest.raises(PolyEpoError, match=r"hardly changed \(got 'row 3 \(p3\): overlapping_train_row=1'\)"):
        gate_problems(problems(rows))


def test_an_evaluation_set_from_outside_must_not_be_trained_on(tmp_path):
    rows = problem_rows()
    rows[1]["prompt"] = RIDDLE
    train = problems(rows[:2])
    file = tmp_path / "set.jsonl"
    clean = json.dumps({"prompt": "What is the sum of the first eleven odd numbers?", "answer": "121"})
    file.write_text(clean + "\n")
    refuse_contamination(train, file)
    file.write_text(clean + "\n" + json.dumps({"prompt": RIDDLE.upper(), "answer": "164"}) + "\n")
    with pytest.raises(PolyEpoError, match=r"1 of its 2 problems .* \(got 'line 2 equals train row 1 \(p1\)'\)"):
        refuse_contamination(train, file)
