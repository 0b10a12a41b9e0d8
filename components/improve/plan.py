"""The order of steps: rollout -> score -> (gate) -> update -> (evaluate), for every iteration."""

from __future__ import annotations

from collections.abc import Iterator

from components.improve.workspace import Step

__all__ = ["all_steps"]


def all_steps(iterations: int, *, evaluate_every: int, gate_every: int) -> Iterator[Step]:
    """Every step of a run, in order.

    The base policy (iteration 0), every ``evaluate_every``-th and the last iteration are evaluated; the first and
    every ``gate_every``-th iteration's data passes the gate before the policy is updated on it.
    """
    yield Step(0, "evaluate")
    for iteration in range(1, iterations + 1):
        yield Step(iteration, "rollout")
        yield Step(iteration, "score")
        if iteration == 1 or iteration % gate_every == 0:
            yield Step(iteration, "gate")
        yield Step(iteration, "update")
        if iteration == iterations or iteration % evaluate_every == 0:
            yield Step(iteration, "evaluate")
