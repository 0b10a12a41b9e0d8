"""Section ``tracking`` of params.yaml: which MLflow store the runs go to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from components.errors import PolyEpoError
from components.params import Section

__all__ = ["TrackingParams"]

_SQLITE = "sqlite:///"
_VARIABLE = "MLFLOW_TRACKING_URI"


class TrackingParams(Section):
    """Where runs are recorded.

    Attributes:
        uri: ``sqlite:///path`` (relative to the working directory; artifacts go to ``mlartifacts`` beside the
            file) or the ``http(s)://`` address of an MLflow server. Credentials come from the environment
            (MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD, MLFLOW_TRACKING_TOKEN), never from here. The
            environment variable MLFLOW_TRACKING_URI, when it is set, comes before this key: see `address`.
        experiment: name of the MLflow experiment.
    """

    uri: str = "sqlite:///.poly-epo/mlflow.db"
    experiment: str = Field(default="poly-epo", min_length=1, max_length=200)

    def address(self, environment: Mapping[str, str] = os.environ) -> str:
        """The store to use: MLFLOW_TRACKING_URI, so that a team's machines need no change of params.yaml, or ``uri``.

        Raises:
            PolyEpoError: the variable is no address of a store, or holds a password.
        """
        given = environment.get(_VARIABLE, "")
        if not given:
            return self.uri
        try:
            return _checked(given)
        except ValueError as error:
            # The value is not shown: it may hold the password that is the fault.
            raise PolyEpoError(str(error), where=_VARIABLE, remedy=f"mend {_VARIABLE}, or unset it") from error

    @field_validator("uri")
    @classmethod
    def _known_scheme_without_secrets(cls, uri: str) -> str:
        return _checked(uri)


def _checked(uri: str) -> str:
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https") and parts.hostname:
        if parts.username or parts.password:
            raise ValueError("credentials belong in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD")
        return uri.rstrip("/")
    if uri.startswith(_SQLITE) and len(uri) > len(_SQLITE):
        return uri
    raise ValueError("must be sqlite:///PATH or the http(s):// address of an MLflow server")
