"""Parameters of the data stage: where problems come from, and how they are split."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from components.params import Section

__all__ = [
    "ANSWER_INSTRUCTION",
    "ChampSource",
    "DataParams",
    "DemonstrationParams",
    "FileSource",
    "HubSource",
    "MultiplicationSource",
    "PolynomialSource",
    "ReasoningGymSource",
    "SourceParams",
]

Scalar = str | int | float | bool | None

# A tagged answer, and nothing but it, is scored: the last number of a truncated completion would often be one of
# the prompt's own.
ANSWER_INSTRUCTION = "Think step by step, then give the final answer between <answer> and </answer>."


class PolynomialSource(Section):
    """All relations y = x^2 + bx + c with b and c in -coefficient_range..coefficient_range."""

    kind: Literal["polynomial"] = "polynomial"
    coefficient_range: int = Field(default=9, ge=1, le=200)
    x_range: int = Field(default=9, ge=1, le=1000)


class MultiplicationSource(Section):
    """``size`` distinct products of a left_digits and a right_digits number, worked with the steps shown."""

    kind: Literal["multiplication"]
    left_digits: int = Field(default=2, ge=1, le=4)
    right_digits: int = Field(default=2, ge=1, le=4)
    size: int = Field(default=1000, ge=3)


class ReasoningGymSource(Section):
    """``size`` problems of one reasoning-gym task; ``config`` is handed to the task's generator.

    ``instruction`` is added to every prompt on a line of its own. With ``answer_demonstrations`` the tagged answers of
    the training problems are demonstrations, from which a model learns the answer's form in a short warm start.
    """

    kind: Literal["reasoning_gym"]
    task: str = Field(min_length=1)
    size: int = Field(default=1000, ge=3)
    config: dict[str, Scalar | list[Scalar]] = Field(default_factory=dict)
    instruction: str = Field(default=ANSWER_INSTRUCTION, min_length=1)
    answer_demonstrations: bool = False


class FileSource(Section):
    """A JSONL, Parquet or CSV file with columns prompt and answer.

    Optional columns: problem_id, domain, split (train, validation or test) and metadata (a JSON object).
    ``domain`` is used for rows that name none. ``sha256`` pins the file's content: another one is refused until it is
    pinned anew (`poly-epo data update`, or the scheduled retrain). It is no part of what is made: the digest that was
    read is, pinned or not.
    """

    kind: Literal["file"]
    path: str = Field(min_length=1)
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$", exclude=True)
    domain: str = Field(default="math", min_length=1)


class HubSource(Section):
    """Parquet or JSON-lines files of a Hugging Face dataset at one revision.

    ``files`` are glob patterns over the repository's paths; by default the Parquet files whose path names
    ``split``, or the JSON-lines files where there are none. Pin ``revision`` to a commit: a branch or tag moves.
    ``instruction`` is added to every prompt on a line of its own. ``follow`` names a branch whose newest commit the
    scheduled retrain takes as ``revision``.
    """

    kind: Literal["hub"]
    name: str = Field(min_length=1)
    revision: str = Field(min_length=1)
    follow: str | None = Field(default=None, min_length=1, exclude=True)
    split: str = Field(default="train", min_length=1)
    files: list[str] = Field(default_factory=list)
    prompt_column: str = Field(default="prompt", min_length=1)
    answer_column: str = Field(default="answer", min_length=1)
    id_column: str | None = None
    domain: str = Field(default="math", min_length=1)
    instruction: str = ""


class ChampSource(Section):
    """The problems of the package champ-dataset whose answers can be checked; of some ``categories``, or of all."""

    kind: Literal["champ"]
    categories: list[str] = Field(default_factory=list)


SourceParams = Annotated[
    PolynomialSource | MultiplicationSource | ReasoningGymSource | FileSource | HubSource | ChampSource,
    Field(discriminator="kind"),
]
"""One kind of source, told apart by ``kind``."""


class DemonstrationParams(Section):
    """Worked solutions of the training problems, for the warm start of a tiny policy."""

    per_problem: int = Field(default=64, ge=0)
    wrong_share: float = Field(default=0.5, ge=0.0, le=1.0)


class DataParams(Section):
    """Section ``data``: the source, the split sizes in problems, and the seed of every random choice."""

    source: SourceParams = PolynomialSource()
    seed: int = Field(default=0, ge=0)
    validation: int = Field(default=40, ge=1)
    test: int = Field(default=81, ge=1)
    max_train: int | None = Field(default=None, ge=1)
    demonstrations: DemonstrationParams = DemonstrationParams()
