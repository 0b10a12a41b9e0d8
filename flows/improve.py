"""The flow `improve`: one arm's training loop, each iteration three tasks: rollout -> score -> update.

`retrain` makes the flow run, this module runs it in a process of its own, so that arms train side by side:

    python -m flows.improve --arm grpo --base DIR --problems DIR --out DIR --flow-run-id ID

The same loop without Prefect is `python -m components.improve`. Both resume at the first step whose manifest is
missing. Only paths and numbers pass between tasks; what a step makes lies in the workspace.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect import Task, flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow_sync

from components.command import component_parser, run_command
from components.params import load_params
from flows.locking import exclusive
from flows.settings import STATE

if TYPE_CHECKING:
    from components.improve.session import Session, Step

__all__ = ["IMPROVE_MODULE", "Clock", "improve"]

IMPROVE_MODULE = "components.improve"
"""The module whose command line a stage names to be run as this flow."""


@dataclass
class Clock:
    """Where the wall time of one arm went.

    Attributes:
        begin: when the process began, on the monotonic clock.
        session_seconds: time inside the training session itself (compute and publishing).
        steps: steps done.
    """

    begin: float = field(default_factory=time.monotonic)
    session_seconds: float = 0.0
    steps: int = 0

    def timed(self, work: Callable[[], Any]) -> Any:
        """Run ``work`` on the session's account."""
        start = time.monotonic()
        try:
            return work()
        finally:
            self.session_seconds += time.monotonic() - start

    def facts(self) -> dict[str, float]:
        """Wall seconds, session seconds, steps, and the share of the wall time that was orchestration."""
        wall = time.monotonic() - self.begin
        share = max(0.0, 1.0 - self.session_seconds / wall) if wall > 0 else 0.0
        return {
            "wall_seconds": wall,
            "session_seconds": self.session_seconds,
            "steps": float(self.steps),
            "orchestration_share": share,
        }


@flow(name="improve", validate_parameters=False)
def improve(command: list[str]) -> dict[str, float]:
    """Run the pending steps of one arm.

    Args:
        command: options of `python -m components.improve`.

    Returns:
        See :meth:`Clock.facts`.
    """
    options = _parser().parse_args(command)
    clock = Clock()
    lock = STATE / "locks" / f"improve-{hashlib.sha256(str(options.out.resolve()).encode()).hexdigest()[:12]}.lock"
    with exclusive(lock, str(options.out)), clock.timed(lambda: _open(options)) as session:
        run_step = _step_task(session, clock)
        for step in session.pending_steps():
            name = f"{step.name}-{step.iteration:06d}"
            run_step.with_options(name=step.name, task_run_name=name)(step)
        clock.timed(session.finish)
    facts = clock.facts()
    _write_timings(options.arm, facts)
    return facts


def _open(options: argparse.Namespace) -> Session:
    # torch and transformers are imported here, in the arm's own process.
    from components.improve.session import Session  # noqa: PLC0415

    return Session.open(
        load_params(options.params), arm=options.arm, base=options.base, problems=options.problems, out=options.out
    )


def _step_task(session: Session, clock: Clock) -> Task[[Step], None]:
    """The task that runs one step; the session stays in this closure, so that Prefect handles the step alone."""

    @task(name="step", cache_policy=NO_CACHE, persist_result=False)
    def run_step(step: Step) -> None:
        metrics: dict[str, float] = clock.timed(lambda: session.run(step))
        clock.steps += 1
        line = " ".join(f"{name}={value:.4g}" for name, value in metrics.items())
        get_run_logger().info("%s %d: %s", step.name, step.iteration, line)
        if step.name in ("update", "evaluate", "gate"):
            sys.stdout.write(f"{step.name} {step.iteration}: {line}\n")
            sys.stdout.flush()

    return run_step


def _write_timings(arm: str, facts: dict[str, float]) -> None:
    path = STATE / "timings" / f"improve-{arm}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = component_parser("Improve one arm's policy, every step a Prefect task.")
    parser.add_argument("--arm", required=True, help="an arm of params.yaml")
    parser.add_argument("--base", type=Path, required=True, help="directory of the base policy")
    parser.add_argument("--problems", type=Path, required=True, help="directory of the data stage")
    parser.add_argument("--out", type=Path, required=True, help="the arm's workspace")
    return parser


def main() -> None:
    """Run the flow run that `--flow-run-id` names, made by `retrain`; the other options are those of the loop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--flow-run-id", type=UUID, required=True)
    chosen, command = parser.parse_known_args()
    with get_client(sync_client=True) as client:
        flow_run = client.read_flow_run(chosen.flow_run_id)
    facts: Any = run_flow_sync(improve, flow_run=flow_run, parameters={"command": command})
    sys.stdout.write(f"orchestration: {100 * facts['orchestration_share']:.1f}% of {facts['wall_seconds']:.1f} s\n")


if __name__ == "__main__":
    run_command(main)
