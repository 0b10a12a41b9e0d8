"""Problems of any task of the reasoning-gym package, generated once and kept with what their scorer needs."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Protocol

from components.data.params import ReasoningGymSource
from components.data.source import Candidate
from components.errors import PolyEpoError
from components.records import Problem

__all__ = ["ReasoningGymProblems"]


class _Dataset(Protocol):
    """What is used of a reasoning-gym data set."""

    def __getitem__(self, index: int) -> dict[str, Any]: ...

    def score_answer(self, answer: str | None, entry: dict[str, Any]) -> float: ...


class ReasoningGymProblems:
    """``size`` problems of one task.

    The metadata of a problem is ``{"task": name, "entry": {"question", "answer", "metadata"}}``: the entry is
    what ``reasoning_gym.get_score_answer_fn(task)`` takes.
    """

    def __init__(self, params: ReasoningGymSource) -> None:
        self._params = params
        self._answers: list[str] = []

    def identity(self) -> dict[str, Any]:
        """The package's version: another one may draw other problems from the same seed."""
        return {"reasoning_gym": version("reasoning-gym")}

    def candidates(self, seed: int) -> list[Candidate]:
        """The task's problems 0..size-1 for ``seed``.

        Raises:
            PolyEpoError: there is no such task, it refuses its config, or its entries cannot be kept as JSON.
        """
        dataset = self._dataset(seed)
        entries = [dataset[index] for index in range(self._params.size)]
        for entry in entries[:3]:
            self._refuse_lossy(entry, dataset.score_answer)
        candidates = [self._candidate(index, entry) for index, entry in enumerate(entries)]
        self._answers = sorted({candidate.answer for candidate in candidates if candidate.answer})
        return candidates

    def demonstrations(self, problem: Problem, *, count: int, wrong: int, rng: random.Random) -> list[str]:
        """Tagged answers where params ask for them: the problem's own, ``wrong`` times another problem's; else none."""
        if not self._params.answer_demonstrations or not problem.answer:
            return []
        others = [answer for answer in self._answers if answer != problem.answer]
        if wrong and not others:
            raise self._unusable("all its answers are the same: none can stand for a wrong one")
        answers = [problem.answer] * (count - wrong) + [rng.choice(others) for _ in range(wrong)]
        return [f"<answer>{answer}</answer>" for answer in answers]

    def _dataset(self, seed: int) -> _Dataset:
        # Imported when problems are made: every task's module comes with it.
        import reasoning_gym  # noqa: PLC0415
        from reasoning_gym.factory import DATASETS  # noqa: PLC0415

        if self._params.task not in DATASETS:
            raise PolyEpoError(
                "reasoning-gym has no such task",
                where="data.source.task",
                value=self._params.task,
                remedy=f"known: {', '.join(sorted(DATASETS))}",
            )
        try:
            dataset: _Dataset = reasoning_gym.create_dataset(
                self._params.task, **{**self._params.config, "seed": seed, "size": self._params.size}
            )
        except (AssertionError, TypeError, ValueError) as error:
            raise PolyEpoError(
                f"reasoning-gym task {self._params.task} refuses its config: {error}",
                where="data.source.config",
                value=self._params.config,
                remedy="seed and size are set by data.seed and data.source.size; see the task's own config class",
            ) from error
        return dataset

    def _refuse_lossy(self, entry: dict[str, Any], score: Callable[[str, dict[str, Any]], float]) -> None:
        """Some scorers compare tuples, which JSON turns into lists: their right answers would score as wrong."""
        if entry["answer"] is None:
            return
        kept = json.loads(self._as_json(entry))
        answer = str(entry["answer"])
        if score(answer, kept) < score(answer, entry):
            raise self._unusable("its scorer does not accept entries that were kept as JSON")

    def _as_json(self, entry: dict[str, Any]) -> str:
        try:
            return json.dumps(entry, sort_keys=True)
        except TypeError as error:
            raise self._unusable(f"its entries cannot be kept as JSON: {error}") from error

    def _unusable(self, why: str) -> PolyEpoError:
        return PolyEpoError(why, where=f"reasoning-gym task {self._params.task}", remedy="choose another task")

    def _candidate(self, index: int, entry: dict[str, Any]) -> Candidate:
        name = f"reasoning_gym:{self._params.task}:{index}"
        metadata = f'{{"entry": {self._as_json(entry)}, "task": {json.dumps(self._params.task)}}}'
        # Some tasks have no single answer (any valid one counts); the contract's column is then empty.
        answer = "" if entry["answer"] is None else str(entry["answer"])
        return Candidate(
            name, f"{entry['question'].strip()}\n{self._params.instruction}", answer, "reasoning_gym", metadata
        )
