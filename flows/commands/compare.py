"""``poly-epo compare``: models or their evaluations side by side, on the same problems."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from components.errors import PolyEpoError
from flows.commands.evaluate import parse_ks

if TYPE_CHECKING:
    from components.evaluation.adhoc import Plan
    from components.params import Params

__all__ = ["compare"]

_STAGES = Path("workspace/evaluation")
_ARMS = Path("workspace/improve")


def compare(
    entries: Annotated[
        list[str],
        typer.Argument(
            metavar="A B ...",
            help="Evaluations (a directory, or a name below workspace/evaluation) or models as in `poly-epo evaluate`; "
            "NAME=A shows A as NAME. The first is the baseline.",
        ),
    ],
    problems: Annotated[Path | None, typer.Option(help="Problems to evaluate models on: Parquet, JSONL, CSV.")] = None,
    set_name: Annotated[str | None, typer.Option("--set", help="A named set to evaluate models on.")] = None,
    samples: Annotated[int | None, typer.Option(min=1, help="Completions per problem, for models.")] = None,
    ks: Annotated[str, typer.Option(help="The ks of pass@k, for models; separated by commas.")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many problems, for models.")] = None,
    max_new_tokens: Annotated[int | None, typer.Option(min=1, help="Longest completion, for models.")] = None,
    allow_differences: Annotated[
        bool, typer.Option(help="Flag other sampling or verifiers instead of refusing them.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Directory of the tables and figures.")] = Path(".poly-epo/comparison"),
    params_file: Annotated[Path, typer.Option("--params", help="The parameters to read.")] = Path("params.yaml"),
) -> None:
    """Compare: a table with paired differences, and figures (light and dark) with their data.

    Models that were not evaluated yet are evaluated first. Other problems, prompts, sampling or verifiers are refused.
    """
    import json  # noqa: PLC0415

    from components.evaluation import compare as comparison  # noqa: PLC0415
    from components.evaluation.adhoc import Request, make_plan  # noqa: PLC0415
    from components.evaluation.params import EvaluationParams  # noqa: PLC0415
    from components.evaluation.results import read_evaluation, read_history  # noqa: PLC0415
    from components.params import load_params  # noqa: PLC0415
    from flows.tables import print_document  # noqa: PLC0415

    params = load_params(params_file)
    plan: Plan | None = None
    evaluations = []
    for entry in entries:
        name, found = _find(entry)
        if found is None:
            plan = plan or make_plan(
                Request(problems, set_name, limit, samples, parse_ks(ks), max_new_tokens, None), params
            )
            found = _evaluated(entry, plan, params)
        evaluations.append(read_evaluation(name, found))
    histories = [
        read_history(evaluation.name, _ARMS / evaluation.name / "history.json")
        for evaluation in evaluations
        if (_ARMS / evaluation.name / "history.json").is_file()
    ]
    comparison.compare(
        evaluations, histories, out, params=params[EvaluationParams], allow_differences=allow_differences
    )
    print_document(json.loads((out / "table.json").read_text(encoding="utf-8")))
    typer.echo("figures: " + "  ".join(str(path) for path in sorted(out.glob("figures/*.png"))))


def _find(entry: str) -> tuple[str, Path | None]:
    """The name to show, and the evaluation's directory where the entry is one already."""
    name, separator, target = entry.partition("=")
    target = target if separator else entry
    if not name or not target:
        raise PolyEpoError("must be A or NAME=A", where="poly-epo compare", value=entry)
    for directory in (Path(target), _STAGES / target):
        if (directory / "metrics.json").is_file() and (directory / "per_problem.parquet").is_file():
            return (name if separator else directory.name), directory
    return (name if separator else target), None


def _evaluated(entry: str, plan: Plan, params: Params) -> Path:
    from components.evaluation.adhoc import evaluate_model  # noqa: PLC0415

    return evaluate_model(entry.partition("=")[2] or entry, plan, params)
