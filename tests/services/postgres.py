"""PostgreSQL in a directory of its own, on loopback, run as an ordinary user."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import psutil

from tests.services.process import Missing, Server, clean_environment, free_ports

REMEDY = "`tests/services/install` installs it on Debian"
_USER, _PASSWORD = "poly_epo", "not-a-secret"
_SYSTEM_USER = "postgres"


class Postgres:
    """A cluster below ``directory``; logins need a password, nothing is reachable but loopback."""

    def __init__(self, directory: Path) -> None:
        self._bin = _binaries()
        self._data = directory / "cluster"
        self.port = free_ports(1)[0]
        self._directory = directory
        options = ["-h", "127.0.0.1", "-p", str(self.port), "-k", str(directory), "-c", "max_connections=200"]
        self.server = Server(
            [*_as_user(), str(self._bin / "postgres"), "-D", str(self._data), *options],
            log=directory / "postgres.log",
            answers=self._ready,
            prepare=self._initialise,
        )

    def start(self) -> Self:
        """Start it, making the cluster first if there is none; back when it takes connections."""
        self.server.start()
        return self

    def kill(self) -> None:
        """kill -9 of the postmaster; back when its children have noticed and gone."""
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        """A fast shutdown."""
        self._signal(signal.SIGINT)

    def database(self, name: str) -> None:
        """Make the database ``name`` if it is not there."""
        if not self._sql("postgres", f"select 1 from pg_database where datname = '{name}'").strip():
            self._sql("postgres", f'create database "{name}"')

    def url(self, driver: str, name: str) -> str:
        """SQLAlchemy's address of a database: ``driver`` is asyncpg (Prefect) or psycopg2 (MLflow)."""
        return f"postgresql+{driver}://{_USER}:{_PASSWORD}@127.0.0.1:{self.port}/{name}"

    def query(self, name: str, sql: str) -> str:
        """What ``sql`` gives in database ``name``: rows by line, columns by ``|``."""
        return self._sql(name, sql)

    def _signal(self, number: signal.Signals) -> None:
        # The postmaster leads a session of its own, where the signals of its guard do not reach it.
        pid = int((self._data / "postmaster.pid").read_text().split()[0])
        children = [process.pid for process in psutil.Process(pid).children()]
        os.kill(pid, number)
        deadline = time.monotonic() + 30
        while any(psutil.pid_exists(process) for process in (pid, *children)) and time.monotonic() < deadline:
            time.sleep(0.02)
        self.server.kill()

    def _initialise(self) -> None:
        if (self._data / "PG_VERSION").exists():
            return
        self._directory.mkdir(parents=True, exist_ok=True)
        _hand_over(self._directory)
        secret = self._directory / "password"
        secret.write_text(_PASSWORD)
        _hand_over(secret)
        command = [*_as_user(), str(self._bin / "initdb"), "-D", str(self._data), "-U", _USER, "-E", "UTF8"]
        command += ["--auth=scram-sha-256", f"--pwfile={secret}", "--locale=C.UTF-8", "--no-sync"]
        subprocess.run(command, check=True, capture_output=True, env=clean_environment())

    def _ready(self) -> bool:
        command = [str(self._bin / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, check=False).returncode == 0

    def _sql(self, name: str, sql: str) -> str:
        command = [str(self._bin / "psql"), "-h", "127.0.0.1", "-p", str(self.port), "-U", _USER, "-d", name]
        done = subprocess.run(
            [*command, "-XAtqc", sql],
            check=True,
            capture_output=True,
            text=True,
            env=clean_environment(PGPASSWORD=_PASSWORD),
        )
        return done.stdout


def _binaries() -> Path:
    found = shutil.which("postgres")
    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    directory = Path(found).resolve().parent if found else candidates[-1] if candidates else None
    if directory is None or not (directory / "initdb").exists():
        raise Missing(f"PostgreSQL's server is not installed; {REMEDY}")
    return directory


def _as_user() -> Sequence[str]:
    """Postgres refuses to run as root: root starts it as the package's own user."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={_SYSTEM_USER}", f"--regid={_SYSTEM_USER}", "--init-groups", "--pdeathsig=KILL", "--"]


def _hand_over(path: Path) -> None:
    if os.geteuid() != 0:
        return
    user = pwd.getpwnam(_SYSTEM_USER)
    os.chown(path, user.pw_uid, user.pw_gid)
    if path.is_dir():
        # Its parents must let the user through; temporary directories of tests are closed to others.
        for parent in path.parents:
            if parent != Path(parent.anchor):
                parent.chmod(parent.stat().st_mode | 0o111)
