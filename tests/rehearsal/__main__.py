"""The team's stack (docker/compose.yaml) rehearsed: up, a scheduled retrain, a rollback, backup, loss, restore.

    python -m tests.rehearsal [--directory DIR] [--keep]

In a clone of the committed project, small, with a data source that is a file and a schedule of every two minutes:

1. `docker/stack.sh up`; nothing but loopback is published, anonymous requests to MLflow and Prefect are refused;
2. the schedule fires, the worker retrains in the stack and the first policy becomes champion;
3. the file changes, the schedule fires, a second version is promoted against the first; it is rolled back;
4. `backup`, `down --volumes`, `restore`: champion, versions, Prefect's runs and every object of the store are back, and
   a clone pulls the data and the models from the restored store.

It uses a stack and ports of its own, prints what it sees with the seconds it took, and removes all of it in the end.
Exit code 1 when something is not as it should be.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.conftest import ROOT, Checkout
from tests.integration.backends.conftest import PROFILE, commit, files_below
from tests.integration.backends.test_schedule import FILE_SOURCE, write_problems
from tests.services.api import PrefectApi
from tests.services.http import status
from tests.services.process import free_ports

STACK = "poly-epo-rehearsal"
RETRAIN_SECONDS = 1500
PULLED = ("workspace/data", "workspace/improve/grpo", "workspace/improve/poly_epo")


class Wrong(Exception):  # noqa: N818
    """Something is not as it should be."""


class Stack:
    """The stack of one checkout."""

    def __init__(self, root: Path) -> None:
        names = ("PREFECT_PORT", "MLFLOW_PORT", "S3_PORT", "DASHBOARD_PORT")
        self._ports = dict(zip(names, map(str, free_ports(len(names))), strict=True))
        self.root = root

    def call(self, *arguments: str) -> str:
        """`docker/stack.sh ARGUMENTS`; what it printed."""
        env = os.environ | self._ports | {"POLY_EPO_STACK": STACK}
        done = subprocess.run(
            ["docker/stack.sh", *arguments], cwd=self.root, env=env, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Wrong(
                f"stack.sh {arguments[0]} exited {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
            )
        return done.stdout

    def environment(self) -> dict[str, str]:
        """What `docker/stack.sh env` tells a shell."""
        lines = [line.removeprefix("export ").split("=", 1) for line in self.call("env").splitlines()]
        return dict(lines)

    def checkout(self, root: Path | None = None) -> Checkout:
        """The project (or a clone of it) with a shell's view of the stack."""
        return Checkout(root or self.root, extra=self.environment())

    def api(self) -> PrefectApi:
        env = self.environment()
        return PrefectApi(env["PREFECT_API_URL"], env["PREFECT_API_AUTH_STRING"])


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Say how long the block took."""
    began = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - began:.0f} s", flush=True)


def expect(true: bool, what: str) -> None:
    """Say that it is so, or end the rehearsal."""
    if not true:
        raise Wrong(what)
    print(f"  {what}", flush=True)


def main() -> int:
    options = _options()
    directory = options.directory or Path(tempfile.mkdtemp(prefix="rehearsal-"))
    stack = Stack(_project(directory / "project"))
    print(f"below {directory}", flush=True)
    try:
        with timed("the stack from nothing"):
            stack.call("up")
        _closed(stack)
        _retrained(stack)
        _restored(stack, directory)
    except Wrong as wrong:
        print(f"WRONG: {wrong}", flush=True)
        return 1
    finally:
        if not options.keep:
            stack.call("down", "--volumes")
            shutil.rmtree(directory, ignore_errors=True)
    print("all of it works")
    return 0


def _project(root: Path) -> Path:
    """The project as it is committed, small, with a file as its data source and a schedule of every two minutes."""
    subprocess.run(["git", "clone", "-q", str(ROOT), str(root)], check=True)
    checkout = Checkout(root)
    (root / "dvc.lock").unlink(missing_ok=True)
    (root / "profiles" / "smallest.yaml").write_text(PROFILE)
    (root / "profiles" / "file.yaml").write_text(FILE_SOURCE)
    for profile in ("quick", "smallest", "file"):
        checkout.run("poly-epo", "profile", "apply", profile)
    write_problems(root / "problems.jsonl", 0)
    declared = (root / "prefect.yaml").read_text()
    (root / "prefect.yaml").write_text(declared.replace('"0 3 * * *"', '"*/2 * * * *"'))
    checkout.run("dvc", "remote", "add", "-d", "team", "s3://dvc-remote/poly-epo")
    commit(checkout, "a small project with a file as its source")
    return root


def _closed(stack: Stack) -> None:
    """Nobody gets in without a login, and from this machine alone."""
    env = stack.environment()
    mlflow = f"{env['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/experiments/search?max_results=1"
    login = (env["MLFLOW_TRACKING_USERNAME"], env["MLFLOW_TRACKING_PASSWORD"])
    expect((status(mlflow), status(mlflow, login)) == (401, 200), "MLflow refuses anonymous requests")
    prefect = f"{env['PREFECT_API_URL']}/admin/version"
    name, _, password = env["PREFECT_API_AUTH_STRING"].partition(":")
    expect((status(prefect), status(prefect, (name, password))) == (401, 200), "Prefect refuses anonymous requests")
    listed = _docker("ps", "--filter", f"label=com.docker.compose.project={STACK}", "--format", "{{.ID}} {{.Ports}}")
    published = [port for line in listed.splitlines() for port in line.split(" ", 1)[1].split(", ") if "->" in port]
    expect(len(published) == 4 and all(port.startswith("127.0.0.1:") for port in published), "four ports, all loopback")
    for line in listed.splitlines():
        told = json.loads(_docker("inspect", line.split()[0]))[0]
        user, name = told["Config"]["User"], told["Config"]["Labels"]["com.docker.compose.service"]
        in_project = name in ("worker", "dashboard")
        wanted = f"{stack.root.stat().st_uid}:{stack.root.stat().st_gid}" if in_project else user
        expect(user == wanted and (in_project or user not in ("", "0", "root", "0:0")), f"{name} runs as {user}")


def _retrained(stack: Stack) -> None:
    """Two scheduled retrains, both promoted; the second is rolled back."""
    with timed("the first scheduled retrain, since the stack was up"):
        first = _scheduled(stack, "There are no data yet")
    expect(_champion(stack) == "1", f"the scheduled run {first} made version 1 champion")
    with timed("a scheduled run without anything new"):
        _scheduled(stack, "Nothing changed")
    write_problems(stack.root / "problems.jsonl", 3)
    with timed("the scheduled retrain on new data, since the file changed"):
        second = _scheduled(stack, "The data changed")
    expect(_champion(stack) == "2", f"the scheduled run {second} promoted version 2 against version 1")
    api = stack.api()
    with timed("the rollback, a run of the stack's worker"):
        ended = api.wait(api.start("rollback/manual"), 600)
    expect(ended["state"]["type"] == "COMPLETED" and _champion(stack) == "1", "version 1 is champion again")


def _scheduled(stack: Stack, text: str) -> str:
    """Name of the first run of the schedule that ended well and whose report says ``text``."""
    api, deadline = stack.api(), time.monotonic() + RETRAIN_SECONDS
    while time.monotonic() < deadline:
        for artifact in api.post("artifacts/filter", {"artifacts": {"key": {"any_": ["retrain"]}}}):
            if text.lower() in artifact["data"].lower():
                run = api.wait(artifact["flow_run_id"], 300)
                if run["state"]["type"] == "COMPLETED" and run["auto_scheduled"]:
                    return str(run["name"])
        failed = [run["state"] for run in api.runs("renew") if run["state"]["type"] in ("FAILED", "CRASHED")]
        if failed:
            raise Wrong(f"a scheduled run ended badly: {failed}")
        time.sleep(2)
    raise Wrong(f"no scheduled run said {text!r}")


def _restored(stack: Stack, directory: Path) -> None:
    """A backup replaces what was lost."""
    _end_schedule(stack.api())
    before = _held(stack)
    data = {name: files_below(stack.root / name) for name in PULLED}
    with timed("a backup"):
        stack.call("backup", str(directory / "backup"))
    stack.call("down", "--volumes")
    volumes = _docker("volume", "ls", "--quiet", "--filter", f"label=com.docker.compose.project={STACK}")
    expect(volumes == "", "the volumes are gone")
    with timed("a restore into an empty stack"):
        stack.call("restore", str(directory / "backup"))
    after = _held(stack)
    for name, value in before.items():
        # The schedule works again: there may be a new run already.
        expect(value <= after[name] if name == "flow runs" else value == after[name], f"{name} are back")
    commit(stack.checkout(), "retrained")
    elsewhere = directory / "elsewhere"
    subprocess.run(["git", "clone", "-q", str(stack.root), str(elsewhere)], check=True)
    stack.checkout(elsewhere).run("dvc", "pull", *data)
    pulled = {name: files_below(elsewhere / name) for name in data}
    expect(pulled == data, "a clone pulls the same data and models from the restored store")
    api = stack.api()
    ended = api.wait(api.start("promote/manual", {"version": "2"}), 600)
    expect(ended["state"]["type"] == "COMPLETED" and _champion(stack) == "2", "the restored stack's worker promotes")


def _held(stack: Stack) -> dict[str, set[object]]:
    """What the stack holds, in a form that can be compared."""
    return {
        "versions and aliases": set(_versions(stack)),
        "flow runs": {(run["id"], run["state"]["type"]) for run in stack.api().runs("renew")},
        "MLflow's objects": set(_objects(stack, "mlflow")),
        "DVC's objects": set(_objects(stack, "dvc-remote")),
    }


def _versions(stack: Stack) -> list[str]:
    """The lines of the registry's versions; asked again for a while, for a busy machine's MLflow answers late."""
    deadline = time.monotonic() + 180
    while True:
        done = stack.checkout().run("poly-epo", "models", "list", check=False)
        if done.returncode == 0:
            return done.stdout.splitlines()[1:]
        if time.monotonic() > deadline:
            raise Wrong(f"the registry does not answer: {done.stderr[-1000:]}")


def _objects(stack: Stack, bucket: str) -> list[tuple[str, int]]:
    import boto3

    env = stack.environment()
    store = boto3.client(
        "s3",
        endpoint_url=env["AWS_ENDPOINT_URL"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        region_name=env["AWS_DEFAULT_REGION"],
    )
    pages = store.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return sorted((entry["Key"], entry["Size"]) for page in pages for entry in page.get("Contents", []))


def _end_schedule(api: PrefectApi) -> None:
    """Nothing new begins, and nothing is at work any more."""
    deployment = api.get("deployments/name/renew/nightly")
    api.patch(f"deployments/{deployment['id']}", {"paused": True})
    for run in api.waiting("renew"):
        api.delete(f"flow_runs/{run['id']}")
    for run in api.runs("renew"):
        api.wait(run["id"], 300)


def _champion(stack: Stack) -> str:
    return next(line for line in _versions(stack) if "champion" in line).split()[0]


def _docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout.strip()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The team's stack rehearsed.")
    parser.add_argument("--directory", type=Path, help="work here (absent so far) instead of in a temporary directory")
    parser.add_argument("--keep", action="store_true", help="leave the stack and the directory as they are in the end")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
