"""``poly-epo sweep``: the same budget and the same learning rates for every arm, over several seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

import typer

from components.errors import PolyEpoError

__all__ = ["sweep"]

N = TypeVar("N", int, float)


def sweep(
    arms: Annotated[str, typer.Option(help="Arms, separated by commas.")] = "grpo,poly_epo",
    learning_rates: Annotated[str, typer.Option(help="The grid, the same for every arm.")] = "1e-4,3e-4,1e-3",
    seeds: Annotated[str, typer.Option(help="Seeds; each has a base policy of its own.")] = "0,1,2",
    out: Annotated[Path, typer.Option(help="Directory of the sweep; started again, it resumes.")] = Path(
        "workspace/sweep"
    ),
    jobs: Annotated[int, typer.Option(min=1, help="Trials side by side.")] = 2,
) -> None:
    """Train every arm with every learning rate and seed, evaluate all on the test split, print the table.

    Everything but seeds, arms and learning rate is taken from params.yaml. The table is written to OUT/table.md and
    OUT/table.json.
    """
    from components.evaluation.params import EvaluationParams  # noqa: PLC0415
    from components.manifest import write_json  # noqa: PLC0415
    from components.params import load_params, read_document  # noqa: PLC0415
    from flows.sweep import run_sweep  # noqa: PLC0415
    from flows.sweep_report import sweep_document, sweep_markdown  # noqa: PLC0415

    file = Path("params.yaml")
    evaluation = load_params(file)[EvaluationParams]
    results = run_sweep(
        read_document(file),
        arms=[name.strip() for name in arms.split(",")],
        learning_rates=_numbers(learning_rates, float, "--learning-rates"),
        seeds=_numbers(seeds, int, "--seeds"),
        out=out,
        jobs=jobs,
        note=typer.echo,
    )
    document = sweep_document(results, draws=evaluation.bootstrap_draws, confidence=evaluation.confidence)
    write_json(out / "table.json", document)
    (out / "table.md").write_text(sweep_markdown(document), encoding="utf-8")
    typer.echo(sweep_markdown(document))


def _numbers(text: str, kind: type[N], option: str) -> list[N]:
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError as error:
        raise PolyEpoError(
            "must be numbers separated by commas", where=option, value=text, remedy=f"e.g. {option} 1,2"
        ) from error
