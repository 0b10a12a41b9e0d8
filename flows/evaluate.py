"""The flow `evaluate`: a model on a set of problems, by `poly-epo evaluate`, with the table in Prefect's pages."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from pydantic import Field

from flows.child import run_command_line
from flows.gpu import gpu_slot
from flows.settings import FlowSettings

__all__ = ["evaluate"]

Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.:/@-]*$", max_length=300)]


@flow(name="evaluate")
def evaluate(
    model: Word = "champion",
    problem_set: Word = "test",
    samples: Annotated[int | None, Field(ge=1)] = None,
    root: str = ".",
) -> str:
    """Evaluate a model; samples that are there already are not drawn again.

    Args:
        model: an alias or number of the registry, a policy directory, or a model of the hub.
        problem_set: a named set: test, validation, champ, ...
        samples: completions per problem; by default evaluation.samples of params.yaml.
        root: the project's root.

    Returns:
        The directory of the result.

    Raises:
        StageFailed: there is no such model or set, or sampling failed.
    """
    command = [sys.executable, "-m", "flows.cli", "evaluate", model, "--set", problem_set]
    if samples is not None:
        command += ["--samples", str(samples)]
    with gpu_slot(FlowSettings.from_environment(), "evaluate"):
        printed = run_command_line(command, Path(root), "evaluate model")
    create_markdown_artifact(f"```\n{printed}\n```", key="evaluation", description=f"{model} on {problem_set}")
    found = re.search(r"^evaluation: (.*)$", printed, re.MULTILINE)
    return found[1] if found else ""
