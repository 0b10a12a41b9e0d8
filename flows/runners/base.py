"""What a runner is: the place where the commands of a stage do their work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from components.errors import PolyEpoError

__all__ = ["Runner", "StageFailed", "StageKilled", "error_line", "get_runner"]


class StageFailed(PolyEpoError):  # noqa: N818
    """A stage's command ended with an error; running it again would end the same way."""


class StageKilled(StageFailed):
    """A stage's command was killed from outside (out of memory, lost machine); another attempt may succeed."""


class Runner(Protocol):
    """Runs one command of a stage where the runner's machines are, and streams its output."""

    name: str

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        on_line: Callable[[str], None],
        log: Path,
    ) -> int:
        """Run ``argv`` in ``cwd`` to its end and return its exit code (128 + number: killed by a signal).

        Every line of output goes to ``on_line`` and into the file ``log``. The command must not outlive this process.
        """
        ...


def get_runner(name: str) -> Runner:
    """The runner called ``name``.

    Raises:
        PolyEpoError: there is none.
    """
    from flows.runners.docker import DockerRunner  # noqa: PLC0415
    from flows.runners.local import LocalRunner  # noqa: PLC0415

    runners: dict[str, Callable[[], Runner]] = {LocalRunner.name: LocalRunner, DockerRunner.name: DockerRunner}
    if name not in runners:
        raise PolyEpoError("unknown runner", where="runner", value=name, remedy=f"known: {', '.join(runners)}")
    return runners[name]()


def error_line(lines: Sequence[str]) -> str:
    """The line that says best why a command failed: its last ``error: ...``, else its last line that is not blank."""
    said = [line.strip() for line in lines if line.strip()]
    errors = [line for line in said if line.startswith("error: ")]
    return (errors or said or ["no output"])[-1].removeprefix("error: ")
