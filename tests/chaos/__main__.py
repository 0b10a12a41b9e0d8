"""Strike real runs at random points and see whether anything is lost.

    python -m tests.chaos [--tries 2] [--seed 0] [--fault "kill -9 flow"] [--outage 60] [--minutes 30]

A try: `poly-epo run` on Prefect, MLflow, Postgres and S3 starts, with everything before the arms' loops done; when a
random number of directories is published, and a random moment later, the fault strikes and is mended. A run that ends
with an error is started again with the same command, three times at most. Then: the final policies' bytes are those of
an undisturbed run, every iteration is there and no step was done twice, MLflow holds every metric of the undisturbed
run once, DVC's remote misses nothing. Exit code 1 when any of it fails.

Runs with a vLLM server (faults.ON_VLLM) have final policies of their own each; there MLflow must hold every metric that
the run's own workspace holds.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.faults import FAULTS, ON_VLLM, NothingToStrike, small_disk
from tests.chaos.world import ITERATIONS, Project, World, world

RUN_SECONDS = 900
VLLM_PUBLISHED = 18  # directories that a run with vLLM publishes
ATTEMPTS = 3


@dataclass
class Row:
    """What became of one fault."""

    tried: int = 0
    by_itself: int = 0
    by_command: int = 0
    lost: list[str] = field(default_factory=list)
    skipped: str = ""


@dataclass(frozen=True)
class Reference:
    """An undisturbed run: how much it published, and its project; None: its runs cannot be compared with each other."""

    published: int
    project: Project | None

    @property
    def vllm(self) -> bool:
        """Whether vLLM samples."""
        return self.project is None


def main() -> int:
    options = _options()
    directory = Path(tempfile.mkdtemp(prefix="chaos-"))
    print(f"seed {options.seed}, {options.tries} tries of each, below {directory}", flush=True)
    rows = {name: Row() for name in options.fault or FAULTS}
    deadline = time.monotonic() + 60 * options.minutes
    try:
        with world(directory) as made:
            references = {True: Reference(VLLM_PUBLISHED, None)}
            if set(rows) - ON_VLLM:
                references[False] = _undisturbed(made)
            for number in range(options.tries):
                for name, row in rows.items():
                    if time.monotonic() > deadline:
                        break
                    draw = random.Random(f"{options.seed} {name} {number}")
                    key = f"{list(FAULTS).index(name)}-{number}"
                    _try(made, references[name in ON_VLLM], name, row, draw, key, options.outage)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print(_table(rows))
    return 1 if any(row.lost for row in rows.values()) else 0


def _try(made: World, reference: Reference, name: str, row: Row, draw: random.Random, key: str, outage: float) -> None:
    after, delay = draw.randint(0, reference.published - 2), draw.uniform(0, 1)
    began = time.monotonic()
    with contextlib.ExitStack() as ending:
        root = made.directory / f"try-{key}"
        if name == "disk full":
            try:
                ending.enter_context(small_disk(root))
            except PermissionError as error:
                row.skipped = str(error)
                return
        project = made.project(f"chaos-{key}", root, vllm=reference.vllm)
        try:
            attempts = _struck(made, project, name, project.published() + after, delay, outage)
        except NothingToStrike:
            print(f"{name}: after {after} published + {delay:.2f} s: nothing to strike any more, no try", flush=True)
            return
        row.tried += 1
        faults = _compare(project, reference) if attempts else [f"it does not run any more: {project.last_words()}"]
    shutil.rmtree(root, ignore_errors=True)
    if faults:
        row.lost += [f"after {after} + {delay:.2f} s: {fault}" for fault in faults]
    elif attempts == 1:
        row.by_itself += 1
    else:
        row.by_command += 1
    outcome = "; ".join(faults) or ("by itself" if attempts == 1 else f"by the same command, {attempts} runs in all")
    seconds = time.monotonic() - began
    print(f"{name}: after {after} published + {delay:.2f} s: {outcome} ({seconds:.0f} s)", flush=True)


def _struck(made: World, project: Project, name: str, after: int, delay: float, outage: float) -> int:
    """Run, strike, run again while it fails; the number of runs it took, 0 when three did not do."""
    run = project.start()
    while run.poll() is None and project.published() < after:
        time.sleep(0.01)
    time.sleep(delay)
    FAULTS[name](made, project, run, outage)
    for attempt in range(1, ATTEMPTS + 1):
        if _ended(run) == 0:
            return attempt
        run = project.start()
    return ATTEMPTS + 1 if _ended(run) == 0 else 0


def _ended(run: subprocess.Popen[bytes]) -> int:
    try:
        return run.wait(RUN_SECONDS)
    except subprocess.TimeoutExpired:
        run.kill()
        return run.wait()


def _compare(project: Project, reference: Reference) -> list[str]:
    """What differs from the undisturbed run, in words."""
    faults = []
    if reference.project is not None and project.policies() != reference.project.policies():
        faults.append("another final policy")
    if project.iterations() != {arm: list(range(1, ITERATIONS + 1)) for arm in project.arms}:
        faults.append(f"iterations {project.iterations()}")
    twice = [step for step, count in project.steps().items() if count > 1]
    if twice:
        faults.append(f"done twice: {twice}")
    metrics, doubles = project.metrics()
    expected = project.measured() if reference.project is None else reference.project.metrics()[0]
    if metrics != expected:
        faults.append(f"{len(set(expected) - set(metrics))} metrics lost, {len(set(metrics) - set(expected))} too many")
    if doubles:
        faults.append(f"{doubles} metrics twice in MLflow")
    if project.unpushed():
        faults.append(f"not pushed: {', '.join(project.unpushed())}")
    return faults


def _undisturbed(made: World) -> Reference:
    project = made.project("reference", made.directory / "reference")
    found, began = project.published(), time.monotonic()
    if _ended(project.start()):
        sys.exit((project.checkout.root / "killed.log").read_text()[-3000:])
    reference = Reference(project.published() - found, project)
    print(f"undisturbed: {time.monotonic() - began:.0f} s, {reference.published} directories published", flush=True)
    return reference


def _table(rows: dict[str, Row]) -> str:
    lines = ["", "| fault | tried | recovered by itself | by the same command | lost |", "|---|---:|---:|---:|---:|"]
    for name, row in rows.items():
        lost = f"not tried: {row.skipped}" if row.skipped else str(row.tried - row.by_itself - row.by_command)
        lines.append(f"| {name} | {row.tried} | {row.by_itself} | {row.by_command} | {lost} |")
    return "\n".join([*lines, *(f"{name}: {lost}" for name, row in rows.items() for lost in row.lost)])


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Faults at random points of real runs.")
    parser.add_argument("--tries", type=int, default=2, help="tries of each fault")
    parser.add_argument("--seed", type=int, default=0, help="of the random points")
    parser.add_argument("--outage", type=float, default=60.0, help="seconds that a network stays cut")
    parser.add_argument("--minutes", type=float, default=math.inf, help="no try begins after so many")
    parser.add_argument("--fault", action="append", choices=list(FAULTS), help="only this one; repeatable")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
