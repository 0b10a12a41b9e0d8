"""``poly-epo plan``: memory, tokens, time and disk of a run before it starts."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from components.errors import PolyEpoError

if TYPE_CHECKING:
    from components.planning.cost import Rates
    from components.planning.report import Plan

__all__ = ["plan"]


def plan(
    profile: Annotated[
        str | None, typer.Option(help="Plan this profile; without it, params.yaml as it stands.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="The model's config.json, where the source does not say.")] = None,
    gpus: Annotated[int | None, typer.Option(min=1, help="GPUs that train and sample; default: the profile's.")] = None,
    device: Annotated[str | None, typer.Option(help="h200 or cpu; default: by training.dtype.")] = None,
    prompt_tokens: Annotated[int | None, typer.Option(min=1, help="Longest prompt.")] = None,
    completion_tokens: Annotated[float | None, typer.Option(min=1, help="Mean length of a completion.")] = None,
    utilisation: Annotated[
        float | None, typer.Option(min=0.01, max=1, help="Share of the matrix rate the update reaches.")
    ] = None,
    matmul_tflops: Annotated[float | None, typer.Option(min=0.001, help="Measured rate of a matrix product.")] = None,
    generation_rate: Annotated[
        float | None, typer.Option(min=0.001, help="Measured completion tokens per second of one device.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The rows as JSON.")] = False,
    params_file: Annotated[Path, typer.Option("--params", help="The parameters to read.")] = Path("params.yaml"),
) -> None:
    """Print what a run needs: memory per GPU, tokens, operations, seconds per iteration, disk per checkpoint.

    Nothing is loaded or downloaded for the models that the profiles name.
    """
    from components.improve.params import ImproveParams  # noqa: PLC0415
    from components.params import load_params  # noqa: PLC0415
    from components.planning.inputs import Assumed, architecture_of, workload_of  # noqa: PLC0415
    from components.planning.report import make_plan  # noqa: PLC0415
    from components.policy.params import PolicyParams  # noqa: PLC0415
    from components.training.params import TrainingParams  # noqa: PLC0415
    from flows.profiles import params_with_profile  # noqa: PLC0415

    params = params_with_profile(profile, params_file) if profile else load_params(params_file)
    architecture, notes = architecture_of(params[PolicyParams], config)
    training = params[TrainingParams]
    rates = _rates(device or ("h200" if training.dtype == "bfloat16" else "cpu"), utilisation, matmul_tflops)
    work, more = workload_of(
        params,
        architecture,
        Assumed(prompt_tokens, completion_tokens),
        processes=gpus or training.processes,
        device_type=rates.device_type,
    )
    made = make_plan(
        architecture,
        work,
        rates,
        assumptions=[*notes, *more, rates.source],
        iterations=params[ImproveParams].iterations,
        kept_checkpoints=max(params[ImproveParams].keep_last, 2),
        tokens_per_second=generation_rate,
    )
    _print(made, profile or str(params_file), as_json=as_json)


def _rates(device: str, utilisation: float | None, matmul_tflops: float | None) -> Rates:
    from components.planning.cost import RATES  # noqa: PLC0415

    if device not in RATES:
        raise PolyEpoError("no such device", where="--device", value=device, remedy=f"known: {', '.join(RATES)}")
    rates = RATES[device]
    return dataclasses.replace(
        rates,
        utilisation=utilisation or rates.utilisation,
        matmul_flops=matmul_tflops * 1e12 if matmul_tflops else rates.matmul_flops,
    )


def _print(made: Plan, name: str, *, as_json: bool) -> None:
    if as_json:
        rows = [dataclasses.asdict(row) for row in made.rows()]
        typer.echo(json.dumps({"plan": name, "rows": rows, "assumptions": made.assumptions}, indent=2))
        return
    typer.echo(f"plan of {name}")
    section = ""
    for row in made.rows():
        shown = "" if row.section == section else row.section
        typer.echo(f"  {shown:<15}{row.name:<34}{row.value:>14}  {row.note}".rstrip())
        section = row.section
    for note in made.assumptions:
        typer.echo(f"rests on: {note}")
