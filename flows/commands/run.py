"""``poly-epo run``: bring every stage up to date with the flow `retrain`, and show what came out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from components.errors import PolyEpoError
from components.params import load_params

__all__ = ["run"]

_EXIT_STOPPED = 130


def run(
    force: Annotated[bool, typer.Option("--force", help="Run every stage, up to date or not.")] = False,
    runner: Annotated[
        str, typer.Option(help="Where the work happens: local or docker; default: POLY_EPO_RUNNER, else local.")
    ] = "",
    profile: Annotated[str, typer.Option(help="Merge profiles/NAME.yaml into params.yaml first.")] = "",
    jobs: Annotated[int | None, typer.Option(min=1, help="Stages at the same time; default: one per CPU.")] = None,
) -> None:
    """Run the pipeline: data, base policy, GRPO and Poly-EPO side by side, evaluation, promotion.

    Stages that are up to date are skipped; a run that was killed resumes where it was. The Prefect server of
    PREFECT_API_URL is used when that is set; otherwise one is started on loopback for the length of the run.
    """
    started = time.monotonic()
    root = _project_root()
    if profile:
        from flows.profiles import apply_profile  # noqa: PLC0415

        apply_profile(profile)
    load_params(root / "params.yaml")
    from flows.launch import launch  # noqa: PLC0415
    from flows.runners.process import Interrupted  # noqa: PLC0415
    from flows.summary import print_summary  # noqa: PLC0415

    try:
        outcomes = launch(root, force=force, runner=runner, jobs=jobs)
    except (KeyboardInterrupt, Interrupted):
        typer.echo("stopped; `poly-epo run` resumes", err=True)
        raise typer.Exit(_EXIT_STOPPED) from None
    skipped = sum(outcome == "Skipped" for outcome in outcomes.values())
    typer.echo(f"{len(outcomes)} stages: {skipped} up to date, {len(outcomes) - skipped} done")
    print_summary(root, time.monotonic() - started)


def _project_root() -> Path:
    root = Path.cwd()
    if not (root / "dvc.yaml").is_file():
        raise PolyEpoError("no dvc.yaml here", where=str(root), remedy="run from the project's root")
    return root
