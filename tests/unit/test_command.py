from __future__ import annotations

from collections.abc import Callable

import pytest

from components.command import EXIT_USER_ERROR, component_parser, run_command
from components.errors import PolyEpoError


def fail(error: BaseException) -> Callable[[], None]:
    def main() -> None:
        raise error

    return main


def test_a_users_fault_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run_command(fail(PolyEpoError("bad\nvalue", where="here", remedy="mend it")))
    assert caught.value.code == EXIT_USER_ERROR == 2
    output = capsys.readouterr()
    assert output.err == "error: here: bad value -> mend it\n"
    assert output.out == ""


def test_a_fault_of_the_program_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        run_command(fail(ZeroDivisionError()))


def test_success_returns() -> None:
    called: list[int] = []
    run_command(lambda: called.append(1))
    assert called == [1]


def test_every_component_takes_params() -> None:
    parser = component_parser("What it does.")
    assert str(parser.parse_args([]).params) == "params.yaml"
    assert str(parser.parse_args(["--params", "x.yaml"]).params) == "x.yaml"
