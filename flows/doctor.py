"""`poly-epo doctor`: is everything there that a run needs, and if not, what is to be done.

Each check looks at one thing and says what it found; a fault comes with its remedy. Nothing is changed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from components.errors import PolyEpoError
from components.params import load_params
from components.tracking.params import TrackingParams

__all__ = ["CHECKS", "Finding", "examine"]

_DISK_GIB, _MEMORY_GIB = 2.0, 2.0
_PINNED = ("torch", "transformers", "prefect", "mlflow", "dvc", "great-expectations", "fastapi", "numpy", "pyarrow")


@dataclass(frozen=True)
class Finding:
    """What one check found: ``fault`` says that a run will not do, ``remedy`` what to do then."""

    name: str
    said: str
    fault: bool = False
    remedy: str = ""


def examine(root: Path, environment: Mapping[str, str] = os.environ) -> list[Finding]:
    """Every check's finding, in order."""
    return [_found(name, check, root, environment) for name, check in CHECKS.items()]


Check = Callable[[Path, Mapping[str, str]], str]
"""Says what it found, or raises PolyEpoError with the remedy."""


def _found(name: str, check: Check, root: Path, environment: Mapping[str, str]) -> Finding:
    try:
        return Finding(name, check(root, environment))
    except PolyEpoError as error:
        return Finding(name, error.what, fault=True, remedy=error.remedy)


def _python(_root: Path, _environment: Mapping[str, str]) -> str:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.prefix == sys.base_prefix:
        raise PolyEpoError(
            f"{version}, not in a virtual environment", remedy="`make setup`, then its .venv/bin/poly-epo"
        )
    return f"{version} in {sys.prefix}"


def _packages(root: Path, _environment: Mapping[str, str]) -> str:
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)", (root / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE))
    # A build's local label (+cpu) is no other version.
    installed = {name: _version(name).partition("+")[0] for name in _PINNED}
    other = [
        f"{name} {installed[name] or 'missing'} (pinned {pins[name]})"
        for name in _PINNED
        if installed[name] != pins[name]
    ]
    if other:
        raise PolyEpoError(", ".join(other), remedy="`make setup`")
    return ", ".join(f"{name} {installed[name]}" for name in _PINNED[:5])


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _params(root: Path, _environment: Mapping[str, str]) -> str:
    load_params(root / "params.yaml")
    return "params.yaml is valid"


def _disk(root: Path, _environment: Mapping[str, str]) -> str:
    free = shutil.disk_usage(root).free / 2**30
    if free < _DISK_GIB:
        raise PolyEpoError(f"{free:.1f} GiB free", remedy="`poly-epo prune`, `dvc gc -w`, or a larger disk")
    return f"{free:.1f} GiB free"


def _memory(_root: Path, _environment: Mapping[str, str]) -> str:
    found = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"), re.MULTILINE)
    free = int(found[1]) / 2**20 if found else 0.0
    if free < _MEMORY_GIB:
        raise PolyEpoError(f"{free:.1f} GiB available", remedy="end other programs, or `poly-epo run --jobs 1`")
    return f"{free:.1f} GiB available, {os.cpu_count()} CPUs"


def _prefect(_root: Path, environment: Mapping[str, str]) -> str:
    from flows.server import is_healthy  # noqa: PLC0415

    address = environment.get("PREFECT_API_URL", "")
    if not address:
        return "PREFECT_API_URL is not set: every run starts a server of its own"
    if not is_healthy(address):
        raise PolyEpoError(f"{address} does not answer", remedy="start that server, or unset PREFECT_API_URL")
    return f"{address} answers"


def _mlflow(root: Path, environment: Mapping[str, str]) -> str:
    address = load_params(root / "params.yaml")[TrackingParams].address(environment)
    if not address.startswith("http"):
        return f"{address}: a file of this project"
    status = _status(f"{address}/api/2.0/mlflow/experiments/search?max_results=1", environment)
    if status == 0:
        raise PolyEpoError(
            f"{address} does not answer", remedy="start that server; a run goes on without it and sends later"
        )
    if status in (401, 403):
        raise PolyEpoError(
            f"{address} refuses this login", remedy="set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        )
    if status != 200:
        raise PolyEpoError(f"{address} answers with HTTP {status}", remedy="look into that server's log")
    return f"{address} answers"


def _status(address: str, environment: Mapping[str, str]) -> int:
    """HTTP status of a GET with the environment's login; 0 when nothing answers."""
    request = urllib.request.Request(address)  # noqa: S310 - http(s) alone, checked by TrackingParams
    user = environment.get("MLFLOW_TRACKING_USERNAME", "")
    if user:
        login = f"{user}:{environment.get('MLFLOW_TRACKING_PASSWORD', '')}"
        request.add_header("Authorization", f"Basic {b64encode(login.encode()).decode()}")
    elif environment.get("MLFLOW_TRACKING_TOKEN"):
        request.add_header("Authorization", f"Bearer {environment['MLFLOW_TRACKING_TOKEN']}")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def _remote(root: Path, _environment: Mapping[str, str]) -> str:
    # DVC takes a second to import, its S3 remote two more.
    from dvc.exceptions import DvcException  # noqa: PLC0415
    from dvc.repo import Repo  # noqa: PLC0415

    try:
        repo = Repo(str(root))
    except DvcException as error:
        raise PolyEpoError(f"no DVC project: {error}", remedy="`dvc init`") from error
    with repo:
        name = repo.config["core"].get("remote")
        if not name:
            return "no default remote: results stay on this machine"
        try:
            remote = repo.cloud.get_remote_odb()
            remote.fs.exists(remote.path)  # False only says that nothing was pushed yet; no answer raises
        except Exception as error:  # the remotes' libraries share no narrower base
            first_line = (str(error).splitlines() or [""])[0][:200]
            raise PolyEpoError(
                f"remote {name!r}: {type(error).__name__}: {first_line}",
                remedy="`dvc remote list`; S3: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL",
            ) from error
    return f"remote {name!r} answers"


def _gpu(_root: Path, _environment: Mapping[str, str]) -> str:
    if shutil.which("nvidia-smi") is None:
        return "no NVIDIA driver: everything works on the CPU"
    query = ["nvidia-smi", "--query-gpu=name,memory.free", "--format=csv,noheader"]
    told = subprocess.run(query, capture_output=True, text=True, check=False, timeout=30)
    if told.returncode:
        raise PolyEpoError("nvidia-smi fails", remedy="mend the driver: its own output says what is wrong")
    import torch  # noqa: PLC0415 - seconds, and only where there is a GPU

    if not torch.cuda.is_available():
        raise PolyEpoError(
            f"PyTorch {torch.__version__} cannot use the GPU",
            remedy="install a build of PyTorch for this driver's CUDA",
        )
    return "; ".join(told.stdout.strip().splitlines())


CHECKS: dict[str, Check] = {
    "Python": _python,
    "packages": _packages,
    "parameters": _params,
    "disk": _disk,
    "memory": _memory,
    "Prefect": _prefect,
    "MLflow": _mlflow,
    "DVC": _remote,
    "GPU": _gpu,
}
"""Name -> check, in the order in which they are shown."""
