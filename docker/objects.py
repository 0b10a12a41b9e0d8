"""Buckets of the team's S3 store: make them, copy them to a directory and back. Run in the image poly-epo/cpu.

    objects.py make BUCKET ...
    objects.py save DIRECTORY BUCKET ...     a copy of every object, below DIRECTORY/BUCKET/
    objects.py load DIRECTORY BUCKET ...     the copy back into the store; what is there already is left alone

Address and login come from the environment (AWS_ENDPOINT_URL and so on). Needs boto3 alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

_USAGE = 2


def main() -> None:
    """Read the command line and do what it says."""
    if len(sys.argv) < 3 or sys.argv[1] not in ("make", "save", "load"):
        sys.exit(_USAGE)
    action, arguments = sys.argv[1], sys.argv[2:]
    retries = Config(retries={"max_attempts": 10, "mode": "standard"})
    store = boto3.client("s3", config=retries)
    if action == "make":
        for bucket in arguments:
            make(store, bucket)
        return
    directory, buckets = Path(arguments[0]), arguments[1:]
    for bucket in buckets:
        copy = save if action == "save" else load
        sys.stdout.write(f"{bucket}: {copy(store, bucket, directory / bucket)} objects\n")


def make(store: Any, bucket: str) -> None:
    """Make a bucket if it is not there."""
    if bucket not in {entry["Name"] for entry in store.list_buckets()["Buckets"]}:
        store.create_bucket(Bucket=bucket)


def save(store: Any, bucket: str, directory: Path) -> int:
    """Copy every object of ``bucket`` into ``directory``, one file each; returns how many."""
    directory.mkdir(parents=True, exist_ok=True)
    count = 0
    for key, _ in listed(store, bucket):
        path = file_of(directory, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        store.download_file(bucket, key, str(path))
        count += 1
    return count


def load(store: Any, bucket: str, directory: Path) -> int:
    """Copy every file below ``directory`` into ``bucket`` unless it is there with that size; returns how many files."""
    make(store, bucket)
    present = dict(listed(store, bucket))
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    for path in files:
        key = path.relative_to(directory).as_posix()
        if present.get(key) != path.stat().st_size:
            store.upload_file(str(path), bucket, key)
    return len(files)


def listed(store: Any, bucket: str) -> Iterator[tuple[str, int]]:
    """Key and size of every object of ``bucket``."""
    for page in store.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for entry in page.get("Contents", []):
            yield entry["Key"], entry["Size"]


def file_of(directory: Path, key: str) -> Path:
    """Where the copy of ``key`` lies: below ``directory``, whatever the key says."""
    path = (directory / key).resolve()
    if not path.is_relative_to(directory.resolve()):
        sys.exit(f"error: the key {key!r} leaves the directory of its bucket")
    return path


if __name__ == "__main__":
    main()
