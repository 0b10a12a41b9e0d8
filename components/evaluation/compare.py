"""Set evaluations side by side: a table with paired differences, and figures with their data.

python -m components.evaluation.compare --evaluation base=DIR --evaluation grpo=DIR --evaluation poly_epo=DIR \\
    --history grpo=FILE --history poly_epo=FILE --out reports/comparison
python -m components.evaluation.compare --workspace workspace --out reports/comparison

The first evaluation is the baseline of the others; with --workspace they are those of the base policy and of every arm
of params ``improve.arms``. The directory holds table.json, table.md, metrics.json (by model), the figures as
PNG and SVG under figures/ (on white) and figures/dark/ (on black), and the data of each as CSV.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from components.command import component_parser, run_command
from components.errors import PolyEpoError
from components.evaluation.gallery import draw_all
from components.evaluation.params import EvaluationParams
from components.evaluation.results import Evaluation, History, read_evaluation, read_history
from components.evaluation.table import comparison_document, markdown
from components.manifest import fingerprint, is_published, publish, write_json
from components.params import load_params

__all__ = ["compare"]

T = TypeVar("T")

_FORMAT = 3  # raised when the same inputs would give other bytes


def compare(
    evaluations: Sequence[Evaluation],
    histories: Sequence[History],
    out: Path,
    *,
    params: EvaluationParams,
    allow_differences: bool = False,
) -> bool:
    """Publish table and figures at ``out``; does nothing where that very content stands already.

    The figures over training are made where a history holds their data.

    Returns:
        Whether anything was done.

    Raises:
        PolyEpoError: the evaluations are not comparable.
    """
    content = fingerprint(
        _FORMAT,
        params.model_dump(),
        allow_differences,
        [(evaluation.name, evaluation.digest) for evaluation in evaluations],
        [(history.name, history.iterations, history.evaluations) for history in histories],
    )
    if is_published(out, content):
        return False
    document = comparison_document(evaluations, params, allow_differences=allow_differences)
    facts = {"models": [evaluation.name for evaluation in evaluations]}
    with publish(out, fingerprint=content, facts=facts) as directory:
        write_json(directory / "table.json", document)
        (directory / "table.md").write_text(markdown(document), encoding="utf-8")
        write_json(directory / "metrics.json", {evaluation.name: evaluation.metrics for evaluation in evaluations})
        draw_all(directory, evaluations, histories, document)
    return True


def main() -> None:
    """The command line."""
    parser = component_parser("Compare evaluations: a table with paired differences, and figures with their data.")
    parser.add_argument(
        "--evaluation", action="append", default=[], metavar="NAME=DIR", help="first: the baseline; repeatable"
    )
    parser.add_argument("--history", action="append", default=[], metavar="NAME=FILE", help="history.json; repeatable")
    parser.add_argument("--workspace", type=Path, help="the pipeline's: its base policy and arms, instead of names")
    parser.add_argument("--out", type=Path, required=True, help="directory to publish")
    parser.add_argument(
        "--allow-differences", action="store_true", help="flag other sampling or verifiers instead of refusing them"
    )
    arguments = parser.parse_args()
    params = load_params(arguments.params)
    entries, curves = arguments.evaluation, arguments.history
    if (arguments.workspace is None) == (not entries):
        raise PolyEpoError("give --evaluation NAME=DIR or --workspace DIR, one of them", where="compare")
    if arguments.workspace is not None:
        arms = params.as_dict()["improve"]["arms"]
        entries = [f"{name}={arguments.workspace / 'evaluation' / name}" for name in ("base", *arms)]
        curves = [f"{arm}={arguments.workspace / 'improve' / arm / 'history.json'}" for arm in arms]
    done = compare(
        _named(entries, read_evaluation, "--evaluation"),
        _named(curves, read_history, "--history"),
        arguments.out,
        params=params[EvaluationParams],
        allow_differences=arguments.allow_differences,
    )
    logging.getLogger(__name__).info("%s %s", arguments.out, "written" if done else "is up to date")


def _named(entries: Sequence[str], read: Callable[[str, Path], T], option: str) -> list[T]:
    """What ``read`` makes of each NAME=PATH."""
    named = []
    for entry in entries:
        name, separator, path = entry.partition("=")
        if not (name and separator and path):
            raise PolyEpoError("must have the form NAME=PATH", where=option, value=entry)
        named.append(read(name, Path(path)))
    return named


if __name__ == "__main__":
    run_command(main)
