"""``poly-epo profile``: overlays on params.yaml."""

from __future__ import annotations

import typer

__all__ = ["app"]

app = typer.Typer(help="Overlays on params.yaml (profiles/*.yaml).", no_args_is_help=True)


@app.command("list")
def list_() -> None:
    """List the profiles there are."""
    from flows.profiles import profile_names  # noqa: PLC0415

    for name in profile_names():
        typer.echo(name)


@app.command("apply")
def apply(name: str) -> None:
    """Merge profile NAME into params.yaml; comments and other keys stay as they are."""
    from flows.profiles import apply_profile  # noqa: PLC0415

    changed = apply_profile(name)
    typer.echo(f"params.yaml now has profile {name}" if changed else f"params.yaml has profile {name} already")
