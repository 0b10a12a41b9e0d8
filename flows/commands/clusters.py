"""``poly-epo clusters``: how far two ways of finding strategies agree."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from components.errors import PolyEpoError

if TYPE_CHECKING:
    from components.params import Params
    from components.records import Problem
    from components.scoring.agreement import Agreement
    from components.scoring.params import ScoringParams

__all__ = ["app"]

app = typer.Typer(help="Compare ways of finding strategies.", no_args_is_help=True)

_SPLITS = [Path(f"workspace/data/{split}.parquet") for split in ("train", "validation", "test")]
_LOWEST = -0.5  # of the adjusted Rand index (Chacon and Rastrojo, 2023)


@app.callback()
def clusters() -> None:
    """Compare ways of finding strategies."""


@app.command()
def agree(
    scored: Annotated[
        Path, typer.Argument(help="A scored.parquet of an iteration, or an evaluation's verified.parquet.")
    ],
    first: Annotated[str, typer.Option(help="answer, strategy, judge, embedding; recorded: as the file has it.")],
    second: Annotated[str, typer.Option(help="The other one.")],
    problems: Annotated[
        list[Path] | None, typer.Option(help="The problems (Parquet); by default the pipeline's splits.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many groups.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    params_file: Annotated[Path, typer.Option("--params", help="The parameters to read.")] = Path("params.yaml"),
) -> None:
    """Adjusted Rand index of two clusterers, group by group: the mean with its interval.

    A degenerate completion is in no cluster: the index is that of the completions that both put into one.
    """
    import json  # noqa: PLC0415

    from components.command import show_progress  # noqa: PLC0415
    from components.params import load_params  # noqa: PLC0415
    from components.scoring.agreement import agreement  # noqa: PLC0415
    from components.scoring.params import ScoringParams  # noqa: PLC0415
    from components.scoring.recluster import ScoredGroups, read_scored  # noqa: PLC0415

    show_progress()
    params = load_params(params_file)
    table = read_scored(scored)
    if limit is not None:
        ids = list(dict.fromkeys(table.column("problem_id").to_pylist()))[:limit]
        table = table.filter([name in set(ids) for name in table.column("problem_id").to_pylist()])
    groups = ScoredGroups(table, _problems(problems), str(scored))
    chosen = [groups.cluster(name, _scoring(params[ScoringParams], name)) for name in (first, second)]
    report = _report(agreement(*chosen), params)
    typer.echo(json.dumps(report, indent=2) if as_json else _told(report, first, second))


def _problems(files: list[Path] | None) -> list[Problem]:
    from components.records import PROBLEM, problems_from_table, read_records  # noqa: PLC0415

    found = files or [path for path in _SPLITS if path.is_file()]
    if not found:
        raise PolyEpoError("no problems", where="--problems", remedy="name the file the completions were sampled for")
    return [problem for path in found for problem in problems_from_table(read_records(path, PROBLEM))]


def _scoring(scoring: ScoringParams, name: str) -> ScoringParams:
    """Section ``scoring`` with another clusterer."""
    from pydantic import ValidationError  # noqa: PLC0415

    from components.scoring.recluster import RECORDED  # noqa: PLC0415

    if name == RECORDED:
        return scoring
    try:
        return type(scoring).model_validate({**scoring.model_dump(), "clusterer": name})
    except ValidationError as error:
        what = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise PolyEpoError(what, where="clusters agree", value=name, remedy="see --help") from error


def _report(found: Agreement, params: Params) -> dict[str, Any]:
    from components.evaluation.intervals import bootstrap_interval  # noqa: PLC0415
    from components.evaluation.params import EvaluationParams  # noqa: PLC0415

    if not len(found.index_G):
        raise PolyEpoError(
            "no group has two completions that both put into a cluster",
            where="clusters agree",
            remedy="compare on a file with fewer degenerate completions",
        )
    evaluation = params[EvaluationParams]
    interval = bootstrap_interval(
        found.index_G,
        draws=evaluation.bootstrap_draws,
        confidence=evaluation.confidence,
        seed=evaluation.seed,
        method=evaluation.interval,
        ends=(_LOWEST, 1.0),
    )
    return {
        "adjusted_rand_index": interval.as_dict(),
        "confidence": evaluation.confidence,
        "groups": len(found.index_G),
        "left_out": found.left_out,
        "trivial": found.trivial,
        "one_sided": round(found.one_sided, 10),
        "distinct": [round(value, 10) for value in found.distinct],
    }


def _told(report: dict[str, Any], first: str, second: str) -> str:
    value, low, high = (report["adjusted_rand_index"][name] for name in ("value", "low", "high"))
    return "\n".join(
        [
            f"adjusted Rand index of {first} and {second}: {value:.3f} [{low:.3f}, {high:.3f}] "
            f"({report['confidence']:.0%} interval, {report['groups']} groups)",
            f"groups left out, with fewer than two completions that both cluster: {report['left_out']}",
            f"groups that both leave whole, or both split into single completions: {report['trivial']}",
            f"completions that only one calls degenerate: {report['one_sided']:.1%}",
            f"clusters per group: {report['distinct'][0]:.2f} and {report['distinct'][1]:.2f}",
        ]
    )
