"""What the runner `docker` asks of the Docker engine through its command line: images, and containers left behind."""

from __future__ import annotations

import fcntl
import hashlib
import json
import subprocess
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from components.errors import PolyEpoError

__all__ = [
    "ROOT_LABEL",
    "RUN_LABEL",
    "Image",
    "RunMark",
    "find_image",
    "is_running",
    "remove_container",
    "remove_orphans",
]

ROOT_LABEL, RUN_LABEL, LOCK_LABEL, DEVICE_LABEL = "poly-epo.root", "poly-epo.run", "poly-epo.lock", "poly-epo.device"


class RunMark:
    """The mark of one runner: a name that its containers carry, and a lock file held for as long as it lives.

    The kernel frees the lock with the process, so a later run knows whose containers nobody waits for, in whatever
    PID namespace either of them is.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.name = uuid.uuid4().hex[:12]
        self._file: TextIO = (directory / f"{self.name}.lock").open("w", encoding="utf-8")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    @staticmethod
    def clear(directory: Path, name: str) -> bool:
        """Remove the lock file of the runner called ``name``; False, and nothing is removed, while it lives."""
        path = directory / f"{name}.lock"
        if path.exists():
            with path.open("w", encoding="utf-8") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return False
                path.unlink()
        return True


@dataclass(frozen=True)
class Image:
    """A local image: its identity (sha256:...), and the device (``cpu``, ``gpu``) that it was built for."""

    id: str
    device: str


def find_image(image: str, pins: Callable[[str], Sequence[Path]], remedy: str = "make images") -> Image:
    """The local image, checked to hold what is pinned.

    Args:
        image: its name.
        pins: device -> the files whose content decides what an image for it holds (docker/build.sh, lock_of).
        remedy: the command that builds it.

    Raises:
        PolyEpoError: no engine answers, there is no such image, or it was built from other pins.
    """
    done = _docker("image", "inspect", image)
    if done.returncode:
        raise PolyEpoError("no such image", where="runner docker", value=image, remedy=remedy)
    facts: dict[str, Any] = json.loads(done.stdout)[0]
    labels: dict[str, str] = facts["Config"].get("Labels") or {}
    device = labels.get(DEVICE_LABEL, "cpu")
    pinned, files = labels.get(LOCK_LABEL), pins(device)
    there = all(path.is_file() for path in files)
    if pinned and there and pinned != hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest():
        raise PolyEpoError(
            f"the image holds other packages than {files[0].name} pins",
            where="runner docker",
            value=image,
            remedy=remedy,
        )
    return Image(str(facts["Id"]), device)


def is_running(name: str) -> bool:
    """Whether there is a container of this name, and it runs."""
    return _docker("inspect", "--format", "{{.State.Running}}", name).stdout.strip() == "true"


def remove_container(name: str) -> None:
    """End and remove a container; one that is not there is none of our business."""
    _docker("rm", "--force", "--volumes", name)


def remove_orphans(root: Path, marks: Path) -> list[str]:
    """Remove the containers of ``root``'s runs that are dead; returns their names.

    Args:
        root: the project.
        marks: directory of its runners' marks.
    """
    listed = _docker("ps", "--all", "--no-trunc", "--filter", f"label={ROOT_LABEL}={root}", "--format", _ROW)
    if listed.returncode:
        raise PolyEpoError(
            f"no Docker engine answers: {_last_line(listed)}",
            where="runner docker",
            remedy="start it, and let this user use it",
        )
    rows = [line.split("\t") for line in listed.stdout.splitlines()]
    names = [name for name, run in rows if RunMark.clear(marks, run)]
    if names:
        _docker("rm", "--force", "--volumes", *names)
    for path in marks.glob("*.lock"):
        RunMark.clear(marks, path.stem)
    return names


_ROW = f'{{{{.Names}}}}\t{{{{.Label "{RUN_LABEL}"}}}}'


def _docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise PolyEpoError(
            "no docker command", where="PATH", remedy="install Docker, or use the runner local"
        ) from error


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return lines[-1] if lines else f"code {done.returncode}"
