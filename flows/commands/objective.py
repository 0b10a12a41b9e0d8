"""``poly-epo objective``: look into an objective without training anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from components.errors import PolyEpoError
from components.objectives.explain import CompletionTerms, Explanation, SignRun, explain
from components.objectives.poly_epo import PolyEpo

__all__ = ["app"]

app = typer.Typer(help="Look into the set objectives.", no_args_is_help=True)

_Number = TypeVar("_Number", int, float)
_SIGN_NAMES = {-1: "[red]-[/red]", 0: "[dim]0[/dim]", 1: "[green]+[/green]"}


@app.callback()
def objective() -> None:
    """Look into the set objectives."""


@app.command("explain")
def explain_command(
    rewards: Annotated[str, typer.Option(help="One reward per completion: 1,1,0,0")],
    clusters: Annotated[str, typer.Option(help="One strategy cluster per completion, -1 = degenerate: 0,0,1,-1")],
    n: Annotated[int, typer.Option("--n", "--set-size", help="Completions of a set; smaller than the group.")],
    require_two_clusters: Annotated[bool, typer.Option(help="A set of a single cluster scores 0.")] = True,
    only_correct: Annotated[
        bool, typer.Option("--only-correct", help="Count the clusters of correct completions alone.")
    ] = False,
) -> None:
    """Show each completion's Poly-EPO advantage, term by term, and how its sign turns as n grows."""
    poly_epo = PolyEpo(
        set_size=n,
        require_two_clusters=require_two_clusters,
        diversity_over="correct" if only_correct else "all",
    )
    group = explain(_numbers("--rewards", rewards, float), _numbers("--clusters", clusters, int), poly_epo)
    console = Console()
    console.print(_terms_table(group))
    console.print(_signs_table(group))
    console.print(_reading(group), highlight=False)


def _numbers(option: str, text: str, kind: Callable[[str], _Number]) -> list[_Number]:
    values = []
    for position, part in enumerate(text.split(","), start=1):
        try:
            values.append(kind(part))
        except ValueError as error:
            raise PolyEpoError(
                f"value {position} is not a number of the right kind",
                where=option,
                value=part,
                remedy="give numbers with commas between them",
            ) from error
    return values


def _terms_table(group: Explanation) -> Table:
    rule = "on" if group.objective.require_two_clusters else "off"
    table = Table(
        title=f"Poly-EPO, N = {len(group.completions)}, n = {group.objective.set_size}, single-cluster rule {rule}, "
        f"diversity over {group.objective.diversity_over}",
        box=None,
        pad_edge=False,
        collapse_padding=True,
    )
    columns = ("i", "reward", "cluster", "own", "partners", "rule", "E", "A", "product", "covar", "GRPO")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for i, terms in enumerate(group.completions):
        table.add_row(str(i), f"{terms.reward:g}", str(terms.cluster), *_term_cells(terms))
    return table


def _term_cells(terms: CompletionTerms) -> list[str]:
    plain = [f"{round(value, 4) + 0.0:.4f}" for value in (terms.own, terms.partners, terms.rule, terms.score)]
    signed = [_signed(value) for value in (terms.advantage, terms.product, terms.covariance, terms.grpo)]
    return [*plain, *signed]


def _signed(value: float) -> str:
    rounded = round(value, 4)
    colour = "green" if rounded > 0 else "red" if rounded < 0 else "dim"
    return f"[{colour}]{rounded + 0.0:+.4f}[/{colour}]"


def _signs_table(group: Explanation) -> Table:
    table = Table(title="\nSign of the advantage as n grows", box=None)
    for name in ("i", "reward", "cluster"):
        table.add_column(name, justify="right")
    table.add_column("sign for n = first-last")
    table.add_column("flips at n =")
    for i, terms in enumerate(group.completions):
        runs = "  ".join(f"{_SIGN_NAMES[run.sign]} {_range(run)}" for run in terms.signs)
        flips = ", ".join(map(str, terms.flips)) or "never"
        table.add_row(str(i), f"{terms.reward:g}", str(terms.cluster), runs, flips)
    return table


def _range(run: SignRun) -> str:
    return str(run.first) if run.first == run.last else f"{run.first}-{run.last}"


def _reading(group: Explanation) -> str:
    return (
        f"\nE = own + partners + rule; A = E - {group.mean_score:.4f}, the mean score of all sets.\n"
        "A = product (of mean reward and mean diversity) + covar (of the two).\n"
        "GRPO = reward - mean reward, for comparison."
    )
