"""An S3 server on loopback: OpenStack Swift with its S3 interface, from Debian's packages; five processes."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.services.process import Missing, Server, clean_environment, free_ports, listens

REMEDY = "`tests/services/install` installs it on Debian"
_PROGRAMS = ("swift-proxy-server", "swift-account-server", "swift-container-server", "swift-object-server")
_PARTS = ("account", "container", "object")
# proxy-logging also gives answers to HEAD their length: without it clients read a stray chunk as the next answer.
_PIPELINE = "catch_errors proxy-logging cache s3api tempauth bulk slo proxy-server"


class S3:
    """A store below ``directory`` with one account."""

    access_key = "team:trainer"
    secret_key = "not-a-secret"
    region = "us-east-1"

    def __init__(self, directory: Path) -> None:
        missing = [name for name in (*_PROGRAMS, "swift-ring-builder", "memcached") if shutil.which(name) is None]
        if missing:
            raise Missing(f"{missing[0]} is not installed; {REMEDY}")
        self._directory = directory
        proxy, memcached, *parts = free_ports(2 + len(_PARTS))
        self.port = proxy
        self.endpoint = f"http://127.0.0.1:{proxy}"
        self._ports = dict(zip(_PARTS, parts, strict=True))
        self._memcached = memcached

    def start(self) -> None:
        """Start all five processes."""
        self._configure()
        memcached = ["memcached", "-l", "127.0.0.1", "-p", str(self._memcached), "-U", "0", "-u", getpass.getuser()]
        self.servers = [self._server("memcached", memcached, self._memcached)]
        self.servers += [
            self._server(part, [f"swift-{part}-server", str(self._directory / f"{part}.conf")], port)
            for part, port in (*self._ports.items(), ("proxy", self.port))
        ]
        for server in self.servers:
            server.start(wait=False)
        for server in self.servers:
            server.wait()

    def stop(self) -> None:
        """End them; what was stored stays."""
        for server in reversed(self.servers):
            server.kill()

    def environment(self) -> dict[str, str]:
        """What clients (boto3, DVC, MLflow) need to be told."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "MLFLOW_S3_ENDPOINT_URL": self.endpoint,
        }

    def client(self) -> Any:
        """A boto3 client of the store."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
        )

    def bucket(self, name: str) -> None:
        """Make the bucket ``name``."""
        self.client().create_bucket(Bucket=name)

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """All keys of a bucket that begin with ``prefix``."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def _server(self, name: str, argv: list[str], port: int) -> Server:
        # Debian's Python runs it: nothing of this project's environment may come before its modules.
        environment = {k: v for k, v in clean_environment().items() if not k.startswith("PYTHON")}
        return Server(argv, log=self._directory / f"{name}.log", answers=lambda: listens(port), environment=environment)

    def _configure(self) -> None:
        (self._directory / "devices" / "d1").mkdir(parents=True, exist_ok=True)
        for part, port in self._ports.items():
            (self._directory / f"{part}.conf").write_text(self._part(part, port))
            if not (self._directory / f"{part}.ring.gz").exists():
                self._ring(part, port)
        (self._directory / "proxy.conf").write_text(self._proxy())

    def _ring(self, part: str, port: int) -> None:
        builder = str(self._directory / f"{part}.builder")
        node = ["--region", "1", "--zone", "1", "--ip", "127.0.0.1", "--port", str(port)]
        for arguments in (["create", "4", "1", "0"], ["add", *node, "--device", "d1", "--weight", "1"], ["rebalance"]):
            subprocess.run(["swift-ring-builder", builder, *arguments], check=True, capture_output=True)

    def _defaults(self, port: int) -> str:
        return "\n".join(
            [
                "[DEFAULT]",
                "bind_ip = 127.0.0.1",
                f"bind_port = {port}",
                "workers = 0",
                f"user = {getpass.getuser()}",
                f"swift_dir = {self._directory}",
                f"devices = {self._directory}/devices",
                "mount_check = false",
                "disable_fallocate = true",
                f"log_address = {os.devnull}",
                "",
            ]
        )

    def _part(self, part: str, port: int) -> str:
        return self._defaults(port) + (
            f"[pipeline:main]\npipeline = {part}-server\n[app:{part}-server]\nuse = egg:swift#{part}\n"
        )

    def _proxy(self) -> str:
        filters = {name: f"use = egg:swift#{name.replace('-', '_')}" for name in _PIPELINE.split()[:-1]}
        filters["cache"] = f"use = egg:swift#memcache\nmemcache_servers = 127.0.0.1:{self._memcached}"
        filters["s3api"] += f"\nlocation = {self.region}"
        account, user = self.access_key.split(":")
        filters["tempauth"] += f"\nuser_{account}_{user} = {self.secret_key} .admin"
        sections = "".join(f"[filter:{name}]\n{text}\n" for name, text in filters.items())
        app = "[app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\nallow_account_management = true\n"
        return f"{self._defaults(self.port)}[pipeline:main]\npipeline = {_PIPELINE}\n{sections}{app}"
