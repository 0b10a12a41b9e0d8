"""docs/objectives.md is run: its user objective, its params, its entry point and its console examples."""

import os
import re
import shlex
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from components.objectives import get_objective, known_objectives
from flows.commands.objective import app

PAGE = (Path(__file__).parents[3] / "docs" / "objectives.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def user_package(tmp_path, monkeypatch):
    """The page's module, installed as a package of the user's own with the page's entry point."""
    (source,) = (block for block in blocks("python") if block.startswith("# my_objectives.py"))
    (tmp_path / "my_objectives.py").write_text(source, encoding="utf-8")
    information = tmp_path / "my_objectives-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: my-objectives\nVersion: 1.0\n")
    ((group, names),) = tomllib.loads(blocks("toml")[0])["project"]["entry-points"].items()
    lines = [f"[{group}]", *(f"{name} = {path}" for name, path in names.items())]
    (information / "entry_points.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("my_objectives", None)


def test_the_first_example_runs():
    names: dict = {}
    exec(blocks("python")[0], names)
    assert names["advantages_PN"].shape == names["scores_PN"].shape == (1, 6)


@pytest.mark.usefixtures("user_package")
def test_the_worked_objective_in_all_its_forms():
    arms = yaml.safe_load(blocks("yaml")[0])["arms"]
    objectives = {arm: get_objective(**params["objective"]) for arm, params in arms.items()}
    rng = np.random.default_rng(0)
    rewards, clusters = rng.integers(0, 2, (20, 8)), rng.integers(-1, 4, (20, 8))
    closed = objectives["closed_form"].advantages(rewards, clusters)
    np.testing.assert_allclose(objectives["enumerated"].advantages(rewards, clusters), closed, rtol=0, atol=1e-12)
    sampled = objectives["sampled"].advantages(rewards, clusters)
    assert np.corrcoef(sampled.ravel(), closed.ravel())[0, 1] > 0.9
    assert np.abs(closed).max() > 0.01
    by_name = get_objective("correct_strategies", set_size=4)
    np.testing.assert_array_equal(by_name.advantages(rewards, clusters), closed)
    assert "correct_strategies" in known_objectives()


def test_the_console_examples_print_what_the_page_shows(monkeypatch):
    monkeypatch.setitem(os.environ, "COLUMNS", "80")
    shown = blocks("console")
    assert len(shown) == 4
    for block in shown:
        command, _, expected = block.partition("\n")
        arguments = shlex.split(command.removeprefix("$ poly-epo objective "))
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        assert [line.rstrip() for line in result.output.rstrip().splitlines()] == expected.rstrip().splitlines()
