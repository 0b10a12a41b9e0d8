"""The five steps of an iteration as work between files: each reads published directories and publishes one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Self

import pyarrow.compute as pc

from components.evaluation.measure import measure
from components.improve.keeping import kept_versions
from components.improve.prompts import prompt_rows
from components.improve.settings import ArmSettings
from components.improve.workspace import ArmWorkspace, Step, digest_of
from components.manifest import publish, write_json
from components.objectives import get_objective
from components.policy.determinism import compute_deterministically
from components.records import (
    PROBLEM,
    ROLLOUT,
    SCORED_ROLLOUT,
    problems_from_table,
    read_records,
    write_records,
)
from components.rollout.engine import RolloutEngine, get_engine
from components.scoring.scorer import Scorer
from components.scoring.verification import Verification
from components.training.launch import TrainerLike, opened

__all__ = ["ArmSteps"]

_TRAINING, _EVALUATION = 0, 1  # two streams of sampling seeds


class ArmSteps:
    """Runs steps of one arm; engine, scorer and trainer are made once and stay warm. A context manager.

    Attributes:
        compute_seconds: seconds spent sampling, scoring, gating, training and evaluating so far, the files of
            rollouts and weights included; what a run takes beyond them (manifests, tasks) is orchestration.
    """

    def __init__(self, settings: ArmSettings, workspace: ArmWorkspace, problems: Path, state: Path) -> None:
        self._settings = settings
        self._workspace = workspace
        self._docs = state / "data_docs"
        self._mailbox = state / "trainer" / settings.arm
        self._train = problems_from_table(read_records(problems / "train.parquet", PROBLEM))
        self._validation = problems_from_table(read_records(problems / "validation.parquet", PROBLEM))
        self._open = ExitStack()
        self._engine_version: int | None = None
        self._trainer_version: int | None = None
        self.compute_seconds = 0.0

    def __enter__(self) -> Self:
        compute_deterministically(self._settings.improve.threads)
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def rollout(self, iteration: int) -> dict[str, float]:
        """Sample the iteration's prompts with the policy of the iteration before; a judge is asked about each group
        as it ends, so that scoring finds most answers there."""
        improve = self._settings.improve
        with self._computing():
            rows = prompt_rows(len(self._train), improve.prompts_per_iteration, iteration, improve.seed)
            problems = [self._train[row] for row in rows]
            table = self._engine_at(iteration - 1).sample(
                problems,
                group_size=improve.group_size,
                seed=_seed(improve.seed, iteration, _TRAINING),
                finished=self._scorer.beginner(problems),
            )
        with self._publish(Step(iteration, "rollout"), rows=len(table)) as directory, self._computing():
            write_records(directory / "rollouts.parquet", table, ROLLOUT)
        return {"completions": float(len(table)), "completion_tokens": _tokens(table)}

    def score(self, iteration: int) -> dict[str, float]:
        """Verify, cluster and score the rollouts."""
        with self._computing():
            rollouts = read_records(self._rollouts(iteration), ROLLOUT)
            scored = self._scorer.score(rollouts, self._train)
        with self._publish(Step(iteration, "score"), rows=len(scored.table)) as directory:
            with self._computing():
                write_records(directory / "scored.parquet", scored.table, SCORED_ROLLOUT)
            write_json(directory / "metrics.json", scored.metrics)
        return scored.metrics

    def gate(self, iteration: int) -> dict[str, float]:
        """Let the rollouts and the scored rollouts pass their data gates."""
        # Great Expectations takes seconds to import: only the iterations with a gate pay for it.
        from components.data.gates.run import run_gate  # noqa: PLC0415

        tables = {
            "rollouts": read_records(self._rollouts(iteration), ROLLOUT),
            "scored": read_records(self._scored(iteration), SCORED_ROLLOUT),
        }
        with self._computing():
            results = [
                run_gate(
                    kind,
                    table,
                    group_size=self._settings.improve.group_size,
                    zero_sum=getattr(get_objective(**self._settings.objective), "zero_sum", True),
                    docs_dir=self._docs / f"{self._settings.arm}-{iteration:06d}-{kind}",
                    where=f"arm {self._settings.arm}, iteration {iteration}",
                ).as_dict()
                for kind, table in tables.items()
            ]
        with self._publish(Step(iteration, "gate")) as directory:
            write_json(directory / "result.json", results)
        return {}

    def update(self, iteration: int) -> dict[str, float]:
        """Update the policy on the scored rollouts; publishes policy, optimizer and metrics, in this order."""
        source = self._scored(iteration)
        with self._computing():
            trainer = self._trainer_at(iteration - 1)
            # Until all is published the warm trainer belongs to no version: after a fault it is loaded anew.
            self._trainer_version = None
            metrics = trainer.update(source, minibatches=self._settings.improve.minibatches)
        policy, state = self._workspace.policy(iteration), self._workspace.trainer(iteration)
        expected = self._workspace.expected(Step(iteration, "update"))
        with publish(policy, fingerprint=expected) as directory, self._computing():
            trainer.save_policy(directory)
        # Where the data and every random number stand follows from these two.
        position = {"iteration": iteration, "seed": self._settings.improve.seed}
        with publish(state, fingerprint=expected, facts=position) as directory, self._computing():
            trainer.save_state(directory)
        with self._publish(Step(iteration, "update"), policy=digest_of(policy), trainer=digest_of(state)) as directory:
            write_json(directory / "metrics.json", metrics)
        self._trainer_version = iteration
        kept = kept_versions(self._workspace, self._settings.improve, iteration, finished=False)
        self._workspace.prune(keep=kept)
        return metrics

    def evaluate(self, iteration: int) -> dict[str, float]:
        """Measure the policy that the iteration made on the validation problems."""
        settings = self._settings
        with self._computing():
            rollouts = self._engine_at(iteration).sample(
                self._validation,
                group_size=settings.evaluation.samples,
                seed=_seed(settings.improve.seed, iteration, _EVALUATION),
            )
            measured = measure(
                rollouts, self._validation, self._verification, settings.scoring, settings.evaluation
            ).means()
        with self._publish(Step(iteration, "evaluate")) as directory:
            write_json(directory / "metrics.json", measured)
        return measured

    @cached_property
    def _engine(self) -> RolloutEngine:
        base = self._workspace.policy(0)
        return get_engine(self._settings.rollout, state=self._docs.parent, owner=self._settings.arm, base=base)

    @cached_property
    def _trainer(self) -> TrainerLike:
        trainer = opened(
            self._settings.training,
            max_new_tokens=self._settings.rollout.max_new_tokens,
            threads=self._settings.improve.threads,
            mailbox=self._mailbox,
        )
        return self._open.enter_context(trainer)

    @cached_property
    def _scorer(self) -> Scorer:
        return self._open.enter_context(Scorer(self._settings.scoring, self._settings.objective))

    @cached_property
    def _verification(self) -> Verification:
        return self._open.enter_context(Verification(self._settings.scoring))

    def _engine_at(self, version: int) -> RolloutEngine:
        if self._engine_version != version:
            self._engine.load_policy(self._workspace.policy(version), version)
            self._engine_version = version
        return self._engine

    def _trainer_at(self, version: int) -> TrainerLike:
        if self._trainer_version != version:
            state = self._workspace.trainer(version) if version else None
            self._trainer.load(self._workspace.policy(version), state, base=self._workspace.policy(0))
        return self._trainer

    def _rollouts(self, iteration: int) -> Path:
        return self._workspace.step(Step(iteration, "rollout")) / "rollouts.parquet"

    def _scored(self, iteration: int) -> Path:
        return self._workspace.step(Step(iteration, "score")) / "scored.parquet"

    @contextmanager
    def _publish(self, step: Step, **facts: object) -> Iterator[Path]:
        with publish(self._workspace.step(step), fingerprint=self._workspace.expected(step), facts=facts) as directory:
            yield directory

    @contextmanager
    def _computing(self) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        self.compute_seconds += time.perf_counter() - begin


def _seed(seed: int, iteration: int, stream: int) -> int:
    """A sampling seed of its own for every (seed, iteration, stream); splitmix-like, below 2^63."""
    value = (seed * 2_654_435_761 + iteration * 2 + stream + 1) * 0x9E3779B97F4A7C15
    value ^= value >> 31
    return value & (2**63 - 1)


def _tokens(table: object) -> float:
    return float(pc.sum(pc.list_value_length(table["completion_ids"])).as_py())  # type: ignore[index]
