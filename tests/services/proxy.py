"""A TCP proxy on loopback that can be cut and healed: the network between a run and a server."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from typing import Self

_CHUNK = 1 << 16


class Proxy:
    """Forwards connections to ``target``, a port of loopback; cut, it drops them and takes no new ones."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        self._cut = threading.Event()
        self._open: set[socket.socket] = set()
        self._mutex = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Drop every connection; new ones are closed at once."""
        self._cut.set()
        with self._mutex:
            for connection in self._open:
                with contextlib.suppress(OSError):  # it is closed already
                    connection.shutdown(socket.SHUT_RDWR)

    def heal(self) -> None:
        """Forward again."""
        self._cut.clear()

    def close(self) -> None:
        """End it."""
        self.cut()
        self._listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            if self._cut.is_set():
                client.close()
                continue
            threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._target), timeout=10)
        except OSError:
            client.close()  # the server is down: so it is for the client
            return
        server.settimeout(None)
        with self._mutex:
            self._open |= {client, server}
        # A connection that ends on one side ends on both.
        with client, server, contextlib.suppress(OSError):
            while not self._cut.is_set():
                ready, _, _ = select.select([client, server], [], [])
                for source in ready:
                    data = source.recv(_CHUNK)
                    if not data:
                        return
                    (server if source is client else client).sendall(data)
        with self._mutex:
            self._open -= {client, server}
