"""Serve the dashboard.

python -m components.dashboard [--project .] [--runs DIRECTORY ...] [--host 127.0.0.1] [--port 8777]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from components.command import run_command
from components.dashboard.serve import access_from, serve


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the team's page for comparing runs; it only reads.")
    parser.add_argument("--project", type=Path, default=Path(), help="the project's root")
    parser.add_argument("--runs", type=Path, action="append", default=[], help="directory of further runs; repeatable")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8777)
    parser.add_argument("--root-path", default="", help="prefix behind a reverse proxy, e.g. /poly-epo")
    parser.add_argument("--allow-host", action="append", default=[], help="further Host name to answer to; repeatable")
    options = parser.parse_args()
    access = access_from(options.host, options.root_path, options.allow_host)
    serve(options.project.resolve(), options.runs, access, options.port, lambda line: print(line, flush=True))  # noqa: T201


if __name__ == "__main__":
    run_command(main)
