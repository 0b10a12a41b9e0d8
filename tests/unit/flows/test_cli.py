"""The command line's own options: what every command shares."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from flows.cli import app


def test_it_says_its_version() -> None:
    answer = CliRunner().invoke(app, ["--version"])
    assert (answer.exit_code, answer.output) == (0, f"poly-epo {version('poly-epo')}\n")


@pytest.mark.parametrize("command", [command.name or command.callback.__name__ for command in app.registered_commands])
def test_every_command_explains_itself(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    answer = CliRunner().invoke(app, [command, "--help"])
    assert answer.exit_code == 0, answer.output
    said = answer.output + capfd.readouterr().out  # one command is a process of its own
    assert "usage:" in said.lower()
    assert len(said.split()) > 8, "no help text"


def test_no_command_shows_what_there_is() -> None:
    answer = CliRunner().invoke(app, [])
    assert "dvc repro" in answer.output
    for command in app.registered_commands:
        assert (command.name or command.callback.__name__) in answer.output
