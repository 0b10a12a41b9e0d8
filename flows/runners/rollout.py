"""The rollout servers of a stage that works in a container: containers beside it, for as long as it works.

A run without containers starts vLLM in the process that samples (components/rollout/vllm_managed.py). A container has
neither vLLM nor a Docker engine, so the runner starts the servers, and tells the stage their addresses by a variable of
its environment. A server that ends is started again; the stage then puts its policy into it anew and asks again for
what was under way. Like every container of the runner, a server hangs on this process by its standard input.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from components.rollout.params import VllmParams
from components.rollout.vllm_environment import SUPPORTED, VllmEnvironment
from components.rollout.vllm_server import ServerSettings, check_model, free_port
from flows.runners.base import error_line
from flows.runners.engine import remove_container
from flows.runners.process import Interrupted, stream

__all__ = ["RolloutServers", "running_servers"]

_EXTENSION = Path("/opt/poly-epo/extension")  # where the image keeps components/rollout/vllm_worker.py
_PASSED = ("VLLM_", "HF_", "OMP_", "NCCL_", "TORCHDYNAMO_", "PYTHONPATH", "DO_NOT_TRACK")
_SHORT_LIFE_SECONDS = 60.0
_SHORT_LIVES = 3
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 30.0

Words = Callable[[str], list[str]]
"""The words of `docker run` up to the image, for a container of the given name."""


@dataclass(frozen=True)
class ServerImage:
    """What the servers run: the image's identity, and whether it holds the GPU build of vLLM."""

    id: str
    on_gpu: bool


class RolloutServers:
    """The servers of one stage.

    Attributes:
        urls: their addresses as the stage sees them.
        fault: why they are given up, in one line; empty while they are not.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        self.urls = list(urls)
        self.fault = ""


@contextmanager
def running_servers(
    params: VllmParams,
    image: ServerImage,
    *,
    name: str,
    model: Path,
    words: Words,
    ready: Callable[[], bool],
    log: Path,
    say: Callable[[str], None],
    give_up: Callable[[], None],
) -> Iterator[RolloutServers]:
    """Keep ``params.servers`` servers running while the block runs.

    Args:
        params: section ``rollout.vllm``.
        image: of the servers.
        name: beginning of their containers' names.
        model: directory of the model they start with; the stage puts its own policies into them.
        words: see :data:`Words`.
        ready: whether a server can be started yet.
        log: what they say is appended here, one file a server: ``STEM-INDEX.log``.
        say: told in one line when a server ended.
        give_up: called once when a server ends every time before it can be of use.

    Raises:
        PolyEpoError: the model cannot be served.
    """
    ports = [free_port() for _ in range(params.servers)]
    environment = VllmEnvironment(Path("python3"), SUPPORTED, on_gpu=image.on_gpu)
    servers = RolloutServers([f"http://127.0.0.1:{port}" for port in ports])
    with ExitStack() as ending:
        for index, port in enumerate(ports):
            settings = ServerSettings(params, environment, port, index if params.servers > 1 else None)
            check_model(model, settings)
            keeper = _Keeper(f"{name}-{index}", log.with_name(f"{log.stem}-{index}.log"), say, servers, give_up)
            keeper.start(partial(_command, settings, image, model, words), ready)
            ending.callback(keeper.stop)
        yield servers


def _command(settings: ServerSettings, image: ServerImage, model: Path, words: Words, container: str) -> _Command:
    """The command that runs one server in a new container called ``container``."""
    env = settings.environ(_EXTENSION)
    names = [name for name in sorted(env) if name.startswith(_PASSED)]
    if settings.gpu is not None:
        names.append("CUDA_VISIBLE_DEVICES")
    options = [word for name in names for word in ("--env", name)]
    first = ["-I", "-S", "/run/poly-epo/inside.py"]
    entry = ["--entrypoint", "python3", image.id, *first]
    argv = ["docker", "run", *words(container), *options, *entry, *settings.command(model)]
    return _Command(argv, {**env, "PATH": os.environ.get("PATH", "")})


@dataclass(frozen=True)
class _Command:
    argv: list[str]
    env: Mapping[str, str]


class _Keeper:
    """Keeps one server running, in a thread of its own."""

    def __init__(
        self, name: str, log: Path, say: Callable[[str], None], servers: RolloutServers, give_up: Callable[[], None]
    ) -> None:
        self._name, self._log, self._say = name, log, say
        self._servers, self._give_up = servers, give_up
        self._ended = threading.Event()
        self._container = ""
        self._thread: threading.Thread | None = None

    def start(self, command: Callable[[str], _Command], ready: Callable[[], bool]) -> None:
        self._thread = threading.Thread(target=self._keep, args=(command, ready), daemon=True, name=self._name)
        self._thread.start()

    def stop(self) -> None:
        """End the server, also one that is just being started."""
        self._ended.set()
        while self._thread is not None and self._thread.is_alive():
            remove_container(self._container)
            self._thread.join(1.0)

    def _keep(self, command: Callable[[str], _Command], ready: Callable[[], bool]) -> None:
        pause, short, number = _FIRST_PAUSE_SECONDS, 0, 0
        while not ready() and not self._ended.wait(0.1):
            pass
        while not self._ended.is_set():
            number += 1
            self._container = f"{self._name}-{number}"
            began, lines = time.monotonic(), deque[str](maxlen=100)
            what = command(self._container)
            try:
                code = stream(
                    what.argv, cwd=Path.cwd(), env=what.env, on_line=lines.append, log=self._log, hold_stdin=True
                )
            except Interrupted:
                return
            if self._ended.is_set():
                return
            lived = time.monotonic() - began
            short = short + 1 if lived < _SHORT_LIFE_SECONDS else 0
            said = f"rollout server ended with code {code}: {_last_error(lines)} (log: {os.path.relpath(self._log)})"
            if short == _SHORT_LIVES:
                self._servers.fault = said
                self._give_up()
                return
            self._say(f"{said}; it is started again")
            self._ended.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS) if short else _FIRST_PAUSE_SECONDS


def _last_error(lines: Sequence[str]) -> str:
    return error_line([line for line in lines if "Error" in line] or lines)[:300]
