"""``poly-epo doctor``: what a run needs, checked; what is missing, and what to do."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["doctor"]


def doctor(as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False) -> None:
    """Check versions, parameters, disk, memory, servers, DVC's remote and GPU; exit code 1 when a run would not do."""
    from flows.doctor import examine  # noqa: PLC0415

    findings = examine(Path.cwd())
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            typer.echo(f"{'FAULT' if finding.fault else 'ok   '}  {finding.name}: {finding.said}")
            if finding.fault and finding.remedy:
                typer.echo(f"       -> {finding.remedy}")
    raise typer.Exit(1 if any(finding.fault for finding in findings) else 0)
