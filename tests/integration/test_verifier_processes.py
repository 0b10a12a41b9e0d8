"""Verifiers in real child processes: limits, kills, restarts, and the real packages on hostile answers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.domains import Verdict
from components.errors import PolyEpoError
from components.records import Problem
from components.scoring.params import ScoringParams
from components.scoring.processes import Outcome, VerifierProcesses
from components.scoring.scorer import Scorer
from components.scoring.verification import Verification
from components.scoring.verifiers import Item
from tests.unit.evaluation.reference import rollout_table

OWN = f"{__name__}:misbehave"


def problem(answer: str, *, metadata: dict[str, Any] | None = None) -> Problem:
    return Problem("p0", "Work it out.", answer, "mathematics", "train", json.dumps(metadata or {}))


def tagged(answer: str) -> Item:
    return Item(problem("7"), f"<answer>{answer}</answer>")


def misbehave(_: Problem, completion: str) -> float | Verdict:
    """A verifier of our own that does what the completion says."""
    match completion:
        case "hang":
            while True:
                pass
        case "hang in C":
            pow(9, 9**9)  # one instruction that holds the interpreter lock
        case "eat memory":
            return float(len(bytearray(2**34)))
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "raise":
            raise ValueError("cannot judge this")
        case "print":
            print("noise on standard output")
        case "pid":
            return Verdict(str(os.getpid()), 1.0, None)
        case "orphan":
            os.kill(os.getppid(), signal.SIGKILL)
            while True:
                pass
    return 1.0


def params(verifier: str, **changes: Any) -> ScoringParams:
    return ScoringParams(**{"verifier": verifier, "timeout_seconds": 30.0, "memory_mib": 1024, **changes})


@pytest.fixture(scope="module")
def mathematics() -> Iterator[VerifierProcesses]:
    with VerifierProcesses(params("math_verify")) as processes:
        yield processes


def judge(processes: VerifierProcesses, answer: str, completion: str) -> Outcome:
    [outcome] = processes.judge_all([Item(problem(answer), completion)])
    return outcome


@pytest.mark.parametrize(
    ("answer", "stated"),
    [
        ("1/2", "0.5"),
        ("1/2", r"\frac{2}{4}"),
        ("x^2+1", "1 + x^2"),
        (r"\sqrt{8}", r"2\sqrt{2}"),
        ("(1,2)", "(1, 2)"),
        ("42", r"\boxed{42}"),
    ],
)
def test_equal_mathematics_is_correct(mathematics: VerifierProcesses, answer: str, stated: str) -> None:
    expected = Outcome(Verdict(answer, 1.0, None))
    assert judge(mathematics, answer, f"So <answer>{stated}</answer>.") == expected


@pytest.mark.parametrize(("answer", "stated"), [("1/2", "0.6"), ("7", "8"), ("(1,2)", "(2,1)"), ("x", "y")])
def test_other_mathematics_is_wrong(mathematics: VerifierProcesses, answer: str, stated: str) -> None:
    outcome = judge(mathematics, answer, f"<answer>{stated}</answer>")
    assert outcome.verdict.reward == 0.0
    assert outcome.verdict.parsed_answer is not None
    assert not outcome.timed_out


@pytest.mark.parametrize("completion", ["the answer is 7", "<answer>7", "7", "", "so 3 + 4 = 7"])
def test_no_complete_answer_tag_is_no_answer(mathematics: VerifierProcesses, completion: str) -> None:
    assert judge(mathematics, "7", completion) == Outcome(Verdict(None, 0.0, None))


def test_an_answer_that_is_no_mathematics_is_the_users_fault(mathematics: VerifierProcesses) -> None:
    with pytest.raises(PolyEpoError, match="no mathematical expression"):
        judge(mathematics, "", "<answer>7</answer>")


HOSTILE = [
    "9^9^9",
    "9^{9^9}",
    "10^10^10",
    "10^{10^{10}}",
    "10**10**10",
    "$10^{10^{10^{10}}}$",
    "(10^9)!",
    "(" * 900,
    "{" * 900,
    r"\frac{" * 150,
    "__import__('os').system('exit 1')",
    "\ud800\u0000\x1b[2J",
]


@pytest.mark.slow
def test_hostile_mathematics_is_survived_unrewarded_and_counted() -> None:
    with VerifierProcesses(params("math_verify", timeout_seconds=2.0)) as processes:
        outcomes = processes.judge_all([tagged(text) for text in HOSTILE])
        assert [outcome.verdict.reward for outcome in outcomes] == [0.0] * len(HOSTILE)
        by_text = dict(zip(HOSTILE, outcomes, strict=True))
        # These can only end by the limits: had they been evaluated, the integer would fill the machine.
        for text in ("9^{9^9}", "10^{10^{10}}", "$10^{10^{10^{10}}}$"):
            assert by_text[text].timed_out or by_text[text].failure
        assert processes.judge_all([tagged("7")]) == [Outcome(Verdict("7", 1.0, None))]


def test_power_towers_are_counted_in_the_metrics() -> None:
    table = rollout_table({"p0": ["<answer>9^{9^9}</answer>"] * 2 + ["<answer>7</answer>", "no"]})
    with Scorer(params("math_verify", timeout_seconds=1.5), {"name": "poly_epo", "set_size": 2}) as scorer:
        batch = scorer.score(table, [problem("7")])
    assert batch.metrics["verifier_timeouts"] == 2.0  # judged once, counted for each completion
    assert batch.metrics["verifier_failures"] == 0.0
    assert batch.table.column("reward").to_pylist() == [0.0, 0.0, 1.0, 0.0]
    assert batch.table.column("cluster_id").to_pylist() == [-1, -1, 0, -1]


def test_a_hanging_item_is_killed_and_the_next_one_served() -> None:
    items = [Item(problem("7"), text) for text in ("fine", "hang", "fine", "hang in C", "fine")]
    with VerifierProcesses(params(OWN, timeout_seconds=1.0)) as processes:
        outcomes = processes.judge_all(items)
    assert [outcome.timed_out for outcome in outcomes] == [False, True, False, True, False]
    assert [outcome.verdict.reward for outcome in outcomes] == [1.0, 0.0, 1.0, 0.0, 1.0]


def test_memory_death_and_exceptions_are_failures_of_their_item_alone() -> None:
    items = [Item(problem("7"), text) for text in ("eat memory", "die", "raise", "print", "fine")]
    with VerifierProcesses(params(OWN)) as processes:
        memory, death, raised, printed, fine = processes.judge_all(items)
    assert memory.failure is not None
    assert "MemoryError" in memory.failure
    assert death.failure == f"the verifier process died (exit code {-signal.SIGKILL})"
    assert raised.failure == "ValueError: cannot judge this"
    assert printed == fine == Outcome(Verdict(None, 1.0, None))


def test_one_worker_is_reused_and_several_keep_the_order() -> None:
    with VerifierProcesses(params(OWN)) as processes:
        pids = {outcome.verdict.parsed_answer for outcome in processes.judge_all([Item(problem("7"), "pid")] * 5)}
    assert len(pids) == 1
    texts = ["fine", "raise"] * 10
    with VerifierProcesses(params(OWN, workers=3)) as processes:
        outcomes = processes.judge_all([Item(problem("7"), text) for text in texts])
    assert ["raise" if outcome.failure else "fine" for outcome in outcomes] == texts


def test_closing_ends_the_children() -> None:
    with VerifierProcesses(params(OWN)) as processes:
        pid = int(processes.judge_all([Item(problem("7"), "pid")])[0].verdict.parsed_answer or 0)
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_verifier_that_fails_on_everything_stops_the_run() -> None:
    table = rollout_table({"p0": ["raise", "die"]})
    with Verification(params(OWN)) as verification, pytest.raises(PolyEpoError, match="failed on all 2 completions"):
        verification.verify_all(table, [problem("7")])


def test_a_verifier_that_cannot_be_imported_stops_the_run() -> None:
    processes = VerifierProcesses(params("no_such_package.rewards:f"))
    with processes, pytest.raises(PolyEpoError, match="no_such_package"):
        processes.judge_all([tagged("7")])


def test_too_little_memory_to_start_says_what_to_raise() -> None:
    processes = VerifierProcesses(params("reasoning_gym", memory_mib=256))
    with processes, pytest.raises(PolyEpoError, match="memory_mib"):
        processes.judge_all([tagged("7")])


def runs(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_child_whose_parent_was_killed_ends_by_its_own_alarm() -> None:
    code = (
        "from tests.integration.test_verifier_processes import *\n"
        "with VerifierProcesses(params(OWN, timeout_seconds=0.5)) as processes:\n"
        "    child = processes.judge_all([Item(problem('7'), 'pid')])[0].verdict.parsed_answer\n"
        "    print(child, flush=True)\n"
        "    processes.judge_all([Item(problem('7'), 'orphan')])\n"
    )
    parent = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert parent.returncode == -signal.SIGKILL
    child, deadline = int(parent.stdout), time.monotonic() + 60.0
    while runs(child):
        assert time.monotonic() < deadline, "the child outlived its parent"
        time.sleep(0.1)


def test_reasoning_gym_scores_with_the_data_sets_own_scorer() -> None:
    import reasoning_gym

    entry = reasoning_gym.create_dataset("basic_arithmetic", size=1, seed=3)[0]
    metadata = json.dumps({"task": "basic_arithmetic", "entry": entry})
    task = Problem("g0", entry["question"], entry["answer"], "reasoning_gym", "train", metadata)
    texts = [f"<answer>{entry['answer']}</answer>", "<answer>99999</answer>", entry["answer"], "<answer>"]
    with VerifierProcesses(params("reasoning_gym")) as processes:
        right, wrong, untagged, cut = processes.judge_all([Item(task, text) for text in texts])
        with pytest.raises(PolyEpoError, match="names no reasoning_gym task"):
            processes.judge_all([Item(problem("7", metadata={"task": "none", "entry": {}}), "<answer>7</answer>")])
    assert right == Outcome(Verdict(entry["answer"], 1.0, None))
    assert wrong.verdict.reward < 1.0
    assert wrong.verdict.parsed_answer == "99999"
    assert untagged == cut == Outcome(Verdict(None, 0.0, None))
