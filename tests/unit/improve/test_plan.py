from __future__ import annotations

from components.improve.plan import all_steps


def names(iterations: int, evaluate_every: int, gate_every: int) -> list[str]:
    return [str(step) for step in all_steps(iterations, evaluate_every=evaluate_every, gate_every=gate_every)]


def test_the_order_of_a_short_run() -> None:
    assert names(3, 2, 3) == [
        "evaluate-000000",
        *("rollout-000001", "score-000001", "gate-000001", "update-000001"),
        *("rollout-000002", "score-000002", "update-000002", "evaluate-000002"),
        *("rollout-000003", "score-000003", "gate-000003", "update-000003", "evaluate-000003"),
    ]


def test_a_longer_run_begins_like_the_shorter_but_for_its_last_evaluation() -> None:
    short, long = names(5, 4, 100), names(9, 4, 100)
    assert short[-1] == "evaluate-000005"
    assert long[: len(short) - 1] == short[:-1]
    assert "evaluate-000005" not in long
