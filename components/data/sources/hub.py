"""Problems from a Hugging Face dataset: the Parquet files of one revision, read without running its code."""

from __future__ import annotations

import fnmatch
import random
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.data.params import HubSource
from components.data.rows import candidates_from_rows
from components.data.source import Candidate
from components.errors import PolyEpoError
from components.records import Problem

__all__ = ["HubProblems", "files_of_split"]


class HubProblems:
    """The rows of one split of a dataset repository."""

    def __init__(self, params: HubSource) -> None:
        self._params = params

    def identity(self) -> dict[str, Any]:
        """The commit that the revision stands for now."""
        return {"commit": self._repository[0]}

    def candidates(self, seed: int) -> list[Candidate]:
        """Every row of the split's files, in the order of their names.

        Raises:
            PolyEpoError: the hub cannot be reached, or the dataset, its files or its columns do not fit.
        """
        commit, names = self._repository
        rows = (row for name in self._matching(names) for row in self._rows(name, self._download(name, commit)))
        return candidates_from_rows(rows, domain=self._params.domain)

    def demonstrations(self, problem: Problem, *, count: int, wrong: int, rng: random.Random) -> list[str]:
        """None: a dataset of problems has no worked solutions in this domain's grammar."""
        return []

    @cached_property
    def _repository(self) -> tuple[str, list[str]]:
        """The commit and the names of its files."""
        # Imported when the hub is asked: no other source needs it.
        from huggingface_hub import HfApi  # noqa: PLC0415

        try:
            info = HfApi().dataset_info(self._params.name, revision=self._params.revision)
        except Exception as error:  # transport errors of the hub's HTTP library share no narrower base
            raise self._unreachable(error) from error
        return str(info.sha), [file.rfilename for file in info.siblings or ()]

    def _matching(self, names: list[str]) -> list[str]:
        matching = files_of_split(names, self._params.split, self._params.files)
        if not matching:
            raise PolyEpoError(
                f"no Parquet files of split {self._params.split!r} among {len(names)} files",
                where=f"dataset {self._params.name}",
                value=self._params.files or None,
                remedy="name them in data.source.files, or use revision refs/convert/parquet",
            )
        return matching

    def _download(self, name: str, commit: str) -> Path:
        from huggingface_hub import hf_hub_download  # noqa: PLC0415

        try:
            return Path(hf_hub_download(self._params.name, name, repo_type="dataset", revision=commit))
        except Exception as error:  # transport errors of the hub's HTTP library share no narrower base
            raise self._unreachable(error) from error

    def _rows(self, name: str, path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
        columns = {"prompt": self._params.prompt_column, "answer": self._params.answer_column}
        if self._params.id_column is not None:
            columns["problem_id"] = self._params.id_column
        where = f"{self._params.name}/{name}"
        try:
            present = pq.read_schema(path).names
            missing = next((column for column in columns.values() if column not in present), None)
            if missing is not None:
                raise PolyEpoError(
                    f"missing column {missing!r}", where=where, remedy=f"the file has {', '.join(present)}"
                )
            table = pq.read_table(path, columns=list(columns.values()))
        except pa.ArrowInvalid as error:
            raise PolyEpoError(
                f"not a readable Parquet file: {error}", where=where, remedy="choose other data.source.files"
            ) from error
        for number, row in enumerate(table.to_pylist(), start=1):
            yield f"{where} row {number}", {ours: row[theirs] for ours, theirs in columns.items()}

    def _unreachable(self, error: Exception) -> PolyEpoError:
        return PolyEpoError(
            f"cannot read the dataset from the hub: {type(error).__name__}: {error}",
            where=f"dataset {self._params.name} at {self._params.revision}",
            remedy="check name, revision and network (HF_TOKEN for a gated one), or download the data "
            "and use data.source.kind: file",
        )


def files_of_split(names: list[str], split: str, patterns: list[str]) -> list[str]:
    """The Parquet files that match one of ``patterns``, or, without patterns, whose path names ``split``."""
    parquet = sorted(name for name in names if name.endswith(".parquet"))
    if patterns:
        return [name for name in parquet if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]
    word = re.compile(rf"(?:^|[/._-]){re.escape(split)}(?:[/._-])")
    return [name for name in parquet if word.search(name)]
