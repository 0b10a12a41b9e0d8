"""CHAMP: competition problems with concept labels, from the installed package champ-dataset (MIT licence).

The package is no dependency of this project: ``pip install --no-deps champ-dataset==1.0.0`` (91 MB) brings it. Its
data file is read as it stands; none of the package's code is run.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import random
from functools import cached_property
from pathlib import Path
from typing import Any

from components.data.params import ANSWER_INSTRUCTION, ChampSource
from components.data.source import Candidate
from components.data.sources.champ_answers import checkable_answer
from components.errors import PolyEpoError
from components.records import Problem

__all__ = ["ChampProblems"]

_PACKAGE = "champ_dataset"
_FILE = Path("dataset_files") / "v0.json"
_REMEDY = "pip install --no-deps champ-dataset==1.0.0"


class ChampProblems:
    """The problems of the package's data file in its order, by category."""

    def __init__(self, params: ChampSource) -> None:
        self._params = params

    def identity(self) -> dict[str, Any]:
        """The data file's digest."""
        with self._file.open("rb") as stream:
            return {"input_sha256": hashlib.file_digest(stream, "sha256").hexdigest()}

    def candidates(self, seed: int) -> list[Candidate]:
        """The problems of the wanted categories whose answer can be checked; metadata: category and concepts.

        Raises:
            PolyEpoError: the package is not installed, its file is not as expected, or no category is left.
        """
        wanted = set(self._params.categories)
        try:
            document = json.loads(self._file.read_text(encoding="utf-8"))
            concepts = {name: entry["_text"] for name, entry in document["concepts"].items()}
            found = [
                _candidate(name, entry, concepts)
                for name, entry in document["problems"].items()
                if (not wanted or entry["category"] in wanted) and checkable_answer(entry["_answer"]) is not None
            ]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PolyEpoError(
                f"not the data file of champ-dataset 1.0.0: {error!r}", where=str(self._file), remedy=_REMEDY
            ) from error
        if not found:
            categories = sorted({entry["category"] for entry in document["problems"].values()})
            raise PolyEpoError(
                "no problem of these categories",
                where="data.source.categories",
                value=self._params.categories,
                remedy=f"known: {', '.join(categories)}",
            )
        return found

    def demonstrations(self, problem: Problem, *, count: int, wrong: int, rng: random.Random) -> list[str]:
        """None: its solutions are prose, and it is meant for evaluation."""
        return []

    @cached_property
    def _file(self) -> Path:
        # Looked up without importing: the package's own imports need more packages.
        spec = importlib.util.find_spec(_PACKAGE)
        roots = list(spec.submodule_search_locations or []) if spec is not None else []
        file = next((Path(root) / _FILE for root in roots if (Path(root) / _FILE).is_file()), None)
        if file is None:
            raise PolyEpoError("the package champ-dataset is not installed", where="problems of CHAMP", remedy=_REMEDY)
        return file


def _candidate(name: str, entry: dict[str, Any], concepts: dict[str, str]) -> Candidate:
    used = list(dict.fromkeys(label for label in entry["ch_list"] if label in concepts))
    metadata = {"category": entry["category"], "concepts": used}
    return Candidate(
        problem_id=f"champ:{name.removeprefix('P_')}",
        prompt=f"{entry['_text'].strip()}\n{ANSWER_INSTRUCTION}",
        answer=checkable_answer(entry["_answer"]) or "",
        domain="math",
        metadata=json.dumps(metadata, sort_keys=True),
        origin=name,
    )
