"""Whether something answers over HTTP, for servers and for what they must refuse."""

from __future__ import annotations

import base64
import urllib.error
import urllib.request


def status(url: str, login: tuple[str, str] | None = None) -> int:
    """The HTTP status of a GET; 0 when nothing answers."""
    request = urllib.request.Request(url)
    if login is not None:
        request.add_header("Authorization", "Basic " + base64.b64encode(":".join(login).encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
