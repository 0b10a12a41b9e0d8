"""A toy project: four kinds of stage (plain, parallel, matrix, persistent output), each a few milliseconds of work."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

DVC_YAML = """\
stages:
  data:
    cmd: python work.py data out/data
    deps: [work.py]
    params: [data]
    outs: [out/data]
  slow:
    cmd: python work.py slow out/slow out/data
    deps: [work.py, out/data]
    outs: [out/slow]
  improve:
    matrix:
      arm: ${arms}
    cmd: python work.py ${item.arm} out/improve/${item.arm} out/data
    deps: [work.py, out/data]
    params:
    - settings.${item.arm}
    outs:
    - out/improve/${item.arm}:
        persist: true
  compare:
    cmd: python work.py compare out/compare out/slow out/improve/a out/improve/b
    deps: [out/slow, out/improve/a, out/improve/b]
    metrics:
    - out/compare:
        cache: false
"""

WORK = """\
import os, pathlib, sys, time
name, out, *inputs = sys.argv[1:]
print("working on", name)
if os.environ.get("TOY_FAIL") == name:
    sys.exit("error: the toy fails on purpose")
if os.environ.get("TOY_KILL_ONCE") == name and not pathlib.Path("killed").exists():
    pathlib.Path("killed").touch()
    os.kill(os.getpid(), 9)
time.sleep(float(os.environ.get("TOY_SLEEP", 0.3 if name == "slow" else 0)))
target = pathlib.Path(out)
target.parent.mkdir(parents=True, exist_ok=True)
with pathlib.Path("calls.log").open("a") as log:
    log.write(name + "\\n")
text = name + "".join(pathlib.Path(item).read_text() for item in inputs)
target.write_text(text if name != "compare" else '{"length": %d}' % len(text))
"""

PARAMS = """\
arms: [a, b]
data: {rows: 3}
settings:
  a: {speed: 1}
  b: {speed: 2}
"""


def environment() -> dict[str, str]:
    """The environment of a user's shell with the virtual environment active."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1", "GIT_CONFIG_GLOBAL": os.devnull}


def make_project(root: Path) -> Path:
    """A fresh git and DVC project at ``root`` with the toy pipeline, nothing run yet."""
    root.mkdir(parents=True)
    (root / "dvc.yaml").write_text(DVC_YAML)
    (root / "work.py").write_text(WORK)
    (root / "params.yaml").write_text(PARAMS)
    run(root, "git", "init", "-q")
    run(root, sys.executable, "-m", "dvc", "init", "-q")
    return root


def copy_project(source: Path, target: Path) -> Path:
    """The same project elsewhere."""
    shutil.copytree(source, target)
    return target


def run(root: Path, *argv: str, check: bool = True, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the project."""
    return subprocess.run(
        argv, cwd=root, env={**environment(), **extra}, check=check, capture_output=True, text=True, timeout=300
    )


LAUNCH = """\
import sys
from pathlib import Path
from components.errors import PolyEpoError
from flows.launch import launch
from flows.runners.process import Interrupted
try:
    outcomes = launch(Path.cwd())
except PolyEpoError as error:
    sys.exit(f"error: {error.line()}")
except Interrupted:
    sys.exit(130)
print(" ".join(f"{name}={outcome}" for name, outcome in outcomes.items()))
"""
"""What `poly-epo run` does, without its check of params.yaml, which the toy's is not."""

REPOSITORY = Path(__file__).resolve().parents[3]


def launch_argv() -> list[str]:
    """The command that runs the flow `retrain` on the project in the current directory."""
    return [sys.executable, "-c", LAUNCH]


def launch_env(api_url: str, **extra: str) -> dict[str, str]:
    """Its environment: the Prefect server to use, this repository's modules."""
    python_path = os.pathsep.join(filter(None, [extra.pop("PYTHONPATH", ""), str(REPOSITORY)]))
    return {**environment(), "PREFECT_API_URL": api_url, "PYTHONPATH": python_path, **extra}


def launch(root: Path, api_url: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run the flow `retrain` on the project at ``root`` to its end."""
    return subprocess.run(
        launch_argv(),
        cwd=root,
        env=launch_env(api_url, **extra),
        capture_output=True,
        text=True,
        timeout=300,
    )


def calls(root: Path) -> list[str]:
    """Names of the stage commands that have run so far."""
    path = root / "calls.log"
    return path.read_text().split() if path.exists() else []
