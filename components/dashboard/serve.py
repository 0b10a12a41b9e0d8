"""Serving the dashboard: its settings from options and environment, and the server itself."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from components.dashboard.access import Access
from components.errors import PolyEpoError

__all__ = ["access_from", "serve"]

TOKEN = "POLY_EPO_DASHBOARD_TOKEN"  # noqa: S105 - the name of a variable
PROXY_HEADER = "POLY_EPO_DASHBOARD_PROXY_HEADER"
PROXIES = "POLY_EPO_DASHBOARD_PROXIES"


def access_from(
    host: str, root_path: str, names: Sequence[str] = (), environment: Mapping[str, str] = os.environ
) -> Access:
    """Who may read: secrets come from the environment alone.

    POLY_EPO_DASHBOARD_TOKEN is asked for; POLY_EPO_DASHBOARD_PROXY_HEADER is believed from the addresses in
    POLY_EPO_DASHBOARD_PROXIES (comma-separated; by default this machine).
    """
    proxies = [name.strip() for name in environment.get(PROXIES, "127.0.0.1,::1").split(",")]
    return Access(
        host=host,
        token=environment.get(TOKEN, ""),
        proxy_header=environment.get(PROXY_HEADER, ""),
        proxies=tuple(name for name in proxies if name),
        root_path=root_path,
        names=tuple(names),
    )


def serve(project: Path, roots: Sequence[Path], access: Access, port: int, tell: Callable[[str], None]) -> None:
    """Serve until Ctrl-C; ``tell`` gets the address when the port is bound.

    Args:
        project: root of the project.
        roots: directories of further runs.
        access: who may read, and the address to bind.
        port: TCP port; 0 takes a free one.
        tell: shows a line to the user.

    Raises:
        PolyEpoError: the port is taken, a directory is missing, or everybody could read.
    """
    import uvicorn  # noqa: PLC0415 - only serving needs it

    from components.dashboard.app import create_app  # noqa: PLC0415

    for root in roots:
        if not root.is_dir():
            raise PolyEpoError("no such directory of runs", where="dashboard --runs", value=str(root))
    app = create_app(project, roots, access)
    family = socket.AF_INET6 if ":" in access.host else socket.AF_INET
    with socket.socket(family) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((access.host, port))
        except OSError as error:
            raise PolyEpoError(
                f"cannot be bound: {error.strerror}",
                where=f"{access.host}:{port}",
                remedy="name another --port, or 0 for a free one",
            ) from error
        name = f"[{access.host}]" if ":" in access.host else access.host
        tell(f"Dashboard: http://{name}:{bound.getsockname()[1]}{access.root_path}/runs   (Ctrl-C ends it)")
        config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, proxy_headers=False)
        uvicorn.Server(config).run(sockets=[bound])
