"""``poly-epo evaluate``: pass@k, maj@k and breadth of any model on any set, from samples that are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from components.errors import PolyEpoError

__all__ = ["evaluate"]


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            help="champion, challenger, previous, a version number, models:/NAME@ALIAS, an MLflow run id, "
            "a policy directory, a GGUF file, or organisation/name of the hub (organisation/name@revision pins it)."
        ),
    ] = "",
    problems: Annotated[Path | None, typer.Option(help="Your own problems: Parquet, JSONL or CSV.")] = None,
    set_name: Annotated[
        str | None, typer.Option("--set", help="A named set: test, validation, champ, aime_2025, ...; default: test.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Completions per problem; more than before: only the rest is sampled.")
    ] = None,
    ks: Annotated[str, typer.Option(help="The ks of pass@k, separated by commas.")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many problems, spread over the set.")] = None,
    max_new_tokens: Annotated[int | None, typer.Option(min=1, help="Longest completion, tokens.")] = None,
    verifier: Annotated[str | None, typer.Option(help="Who judges; default: what fits the problems.")] = None,
    import_file: Annotated[
        Path | None, typer.Option("--import", help="Judge the samples of this file instead of sampling a model.")
    ] = None,
    export: Annotated[
        Path | None, typer.Option(help="Also write the samples here in lm-evaluation-harness's format.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Directory of the result; default below .poly-epo/.")] = None,
    params_file: Annotated[Path, typer.Option("--params", help="The parameters to read.")] = Path("params.yaml"),
) -> None:
    """Evaluate a model: sample once, keep the samples, compute every metric from them.

    Run again with more --samples or a larger k only what is missing is sampled; run again with other --ks nothing is.
    """
    from components.command import show_progress  # noqa: PLC0415
    from components.evaluation.adhoc import Request, evaluate_import, evaluate_model, make_plan  # noqa: PLC0415
    from components.evaluation.results import read_evaluation  # noqa: PLC0415
    from components.evaluation.table import comparison_document  # noqa: PLC0415
    from components.params import load_params  # noqa: PLC0415
    from flows.tables import print_document  # noqa: PLC0415

    show_progress()
    if (import_file is None) == (not model):
        raise PolyEpoError("needs a MODEL or --import FILE, one of them", where="poly-epo evaluate", value=model)
    params = load_params(params_file)
    request = Request(problems, set_name, limit, samples, parse_ks(ks), max_new_tokens, verifier)
    plan = make_plan(request, params)
    if import_file is not None:
        done = evaluate_import(import_file, plan, out, samples=samples)
    else:
        done = evaluate_model(model, plan, params, out)
    if export is not None:
        from components.evaluation.export import export_samples  # noqa: PLC0415

        export_samples(done, plan.problems(), export, task=plan.label)
    source = import_file or Path(model)
    name = source.name if source.is_file() else model
    print_document(comparison_document([read_evaluation(name, done)], plan.evaluation))
    typer.echo(f"evaluation: {done}" + (f"\nexport: {export}" if export is not None else ""))


def parse_ks(text: str) -> list[int]:
    """Whole numbers separated by commas; [] for an empty text."""
    try:
        return [int(part) for part in text.split(",")] if text else []
    except ValueError as error:
        raise PolyEpoError(
            "must be whole numbers separated by commas", where="--ks", value=text, remedy="e.g. --ks 1,8,64"
        ) from error
