"""Section ``runner`` of params.yaml: what a stage's container is and what it may use. None of it changes a result.

Owned here and not by flows/, so that params.yaml can be checked where only components/ is installed.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from components.params import Section

__all__ = ["ContainerParams", "RunnerParams"]


def _known_gpus(text: str) -> str:
    if not re.fullmatch(r"|all|[1-9]\d*|device=[\w,:/-]+", text):
        raise ValueError("must be empty, all, a number of GPUs, or device=ID,ID")
    return text


def _absolute(path: str) -> str:
    if not path.startswith("/") or "," in path:
        raise ValueError("must be an absolute path without a comma")
    return path


class ContainerParams(Section):
    """One kind of container.

    Attributes:
        image: image with a tag, or digest; empty: the one `make images` builds, poly-epo/KIND.
        cpus: CPUs it may use; null: all.
        memory_gib: memory it may use, swap included; null: all. More ends the stage with an error that says so.
        shared_memory_gib: size of its /dev/shm, which processes of one training use between them.
        gpus: ``all``, a number, or ``device=0,1``; empty: none.
    """

    image: str = ""
    cpus: Annotated[float, Field(gt=0)] | None = None
    memory_gib: Annotated[float, Field(ge=0.0078125)] | None = None  # the engine's least: 6 MiB
    shared_memory_gib: float = Field(default=1.0, gt=0)
    gpus: Annotated[str, AfterValidator(_known_gpus)] = ""


class RunnerParams(Section):
    """Containers of the runner ``docker``.

    Attributes:
        network: the containers' network. ``host``: they reach Prefect, MLflow and a rollout server on this machine's
            loopback as a local run does; else the name of a network in which those servers' addresses resolve.
        volumes: directories outside the project that stages read or write (a DVC cache behind links, model weights),
            mounted at their own paths.
        cpu: of every stage that is not in ``train_stages``.
        train: of those that are.
        train_stages: names of stages, without a matrix's ``@item``.
        rollout: of the vLLM servers that the runner starts beside a stage that samples, one container a server, where
            ``rollout.engine`` is ``vllm`` and names no servers of its own.
        rollout_stages: names of the stages that sample.
        rollout_model: directory, from the project's root, of the model that those servers start with: one of the
            architecture of all policies of the run. The stage puts its own policy into them.
    """

    network: str = Field(default="host", pattern=r"^[A-Za-z0-9][\w.-]*$")
    volumes: list[Annotated[str, AfterValidator(_absolute)]] = Field(default_factory=list)
    cpu: ContainerParams = ContainerParams()
    train: ContainerParams = ContainerParams()
    train_stages: list[str] = Field(default_factory=lambda: ["base", "improve"])
    rollout: ContainerParams = ContainerParams()
    rollout_stages: list[str] = Field(default_factory=lambda: ["improve", "evaluate_base", "evaluate"])
    rollout_model: str = "workspace/base"

    def container(self, stage: str) -> tuple[str, ContainerParams]:
        """Kind (``cpu`` or ``train``) and settings of the container in which ``stage`` (``improve@grpo``) works."""
        if stage.partition("@")[0] in self.train_stages:
            return "train", self.train
        return "cpu", self.cpu

    def samples(self, stage: str) -> bool:
        """Whether ``stage`` (``improve@grpo``) needs rollout servers, where rollouts come from servers at all."""
        return stage.partition("@")[0] in self.rollout_stages
