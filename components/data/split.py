"""De-duplicate candidates and split them so that no held-out problem is in train."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from components.data.seeding import stream
from components.data.source import Candidate
from components.errors import PolyEpoError
from components.records import Problem, Split

__all__ = ["SplitProblems", "normalise_prompt", "refuse_duplicate_ids", "split_candidates"]


@dataclass(frozen=True)
class SplitProblems:
    """The problems of each split, each in a seeded order, and what was dropped.

    Attributes:
        train, validation, test: the problems, ``split`` filled in.
        duplicates: candidates dropped because an earlier one has the same normalised prompt.
        conflicting_answers: those of the dropped whose answer differs from the one kept.
        unused: training candidates beyond ``max_train``.
    """

    train: list[Problem]
    validation: list[Problem]
    test: list[Problem]
    duplicates: int
    conflicting_answers: int
    unused: int

    def by_split(self) -> dict[Split, list[Problem]]:
        """The three lists under their names."""
        return {Split.TRAIN: self.train, Split.VALIDATION: self.validation, Split.TEST: self.test}


def normalise_prompt(prompt: str) -> str:
    """The prompt as duplicates are told by: compatibility forms, case and runs of white space do not count."""
    return " ".join(unicodedata.normalize("NFKC", prompt).casefold().split())


def split_candidates(
    candidates: Sequence[Candidate], *, seed: int, validation: int, test: int, max_train: int | None = None
) -> SplitProblems:
    """Split ``candidates``; sizes are problems.

    A candidate that names its split keeps it. A held-out split that no candidate names is drawn, seeded, from
    the others (those without a split, or of split train).

    Raises:
        PolyEpoError: two candidates share an id, a problem is in two splits, or the sizes do not fit.
    """
    refuse_duplicate_ids(candidates)
    unique, duplicates, conflicting = _deduplicate(candidates)
    pool = [candidate for candidate in unique if candidate.split in (None, Split.TRAIN)]
    stream(seed, "split").shuffle(pool)
    wanted = {Split.TEST: test, Split.VALIDATION: validation}
    held_out: dict[Split, list[Candidate]] = {}
    for split, size in wanted.items():
        named = [candidate for candidate in unique if candidate.split == split]
        drawn = 0 if named else size
        if drawn >= len(pool):
            raise _does_not_fit(split, size, len(unique))
        held_out[split] = named or pool[:drawn]
        pool = pool[drawn:]
    train = pool[:max_train]
    return SplitProblems(
        train=_problems(train, Split.TRAIN),
        validation=_problems(held_out[Split.VALIDATION], Split.VALIDATION),
        test=_problems(held_out[Split.TEST], Split.TEST),
        duplicates=duplicates,
        conflicting_answers=conflicting,
        unused=len(pool) - len(train),
    )


def refuse_duplicate_ids(candidates: Sequence[Candidate]) -> None:
    """Raise PolyEpoError where two candidates share an id; the line names both rows."""
    counts = Counter(candidate.problem_id for candidate in candidates)
    twice = next((name for name, count in counts.items() if count > 1), None)
    if twice is None:
        return
    rows = [_row(candidate) for candidate in candidates if candidate.problem_id == twice]
    raise PolyEpoError(
        f"problem_id is not unique: {rows[0]} and {rows[1]} share it",
        where=rows[1],
        value=twice,
        remedy="give every problem its own id, or leave the column out to have ids made",
    )


def _deduplicate(candidates: Iterable[Candidate]) -> tuple[list[Candidate], int, int]:
    """The first candidate of every normalised prompt; how many were dropped, how many of those disagreed."""
    kept: dict[str, Candidate] = {}
    duplicates = conflicting = 0
    for candidate in candidates:
        first = kept.setdefault(normalise_prompt(candidate.prompt), candidate)
        if first is candidate:
            continue
        if first.split != candidate.split:
            raise _leak(first, candidate)
        duplicates += 1
        conflicting += first.answer.strip() != candidate.answer.strip()
    return list(kept.values()), duplicates, conflicting


def _leak(first: Candidate, second: Candidate) -> PolyEpoError:
    return PolyEpoError(
        f"the same problem is in two splits: {_row(first)} ({first.split}) and {_row(second)} ({second.split})",
        where=_row(second),
        value=second.prompt,
        remedy="remove one of the two rows, or leave the split column out to have the split drawn",
    )


def _does_not_fit(split: Split, size: int, total: int) -> PolyEpoError:
    return PolyEpoError(
        f"{size} {split} problems do not fit: {total} distinct problems must hold test, validation and at least "
        "one to train on",
        where=f"data.{split}",
        value=size,
        remedy="lower data.test or data.validation, or give a larger source",
    )


def _problems(candidates: Iterable[Candidate], split: Split) -> list[Problem]:
    return [
        Problem(
            problem_id=candidate.problem_id,
            prompt=candidate.prompt,
            answer=candidate.answer,
            domain=candidate.domain,
            split=str(split),
            metadata=candidate.metadata,
        )
        for candidate in candidates
    ]


def _row(candidate: Candidate) -> str:
    return candidate.origin or f"problem {candidate.problem_id}"
