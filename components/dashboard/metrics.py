"""The dashboard's own metrics for Prometheus, at ``/metrics``: requests by page, seconds they took, memory and CPU."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Histogram, ProcessCollector, generate_latest
from starlette.responses import Response

__all__ = ["Metrics"]


class Metrics:
    """The metrics of one application; safe to use from several threads."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._seconds = Histogram(
            "poly_epo_dashboard_request_seconds", "Seconds to answer, by page.", ["page"], registry=self._registry
        )

    @contextmanager
    def timed(self, page: str) -> Iterator[None]:
        """Count one request of ``page`` (a route, not an address: addresses are without number) and time it."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._seconds.labels(page).observe(time.perf_counter() - began)

    def answer(self) -> Response:
        """All metrics in Prometheus' text format."""
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)
