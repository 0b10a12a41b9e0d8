"""Section ``tracking`` of params.yaml: which MLflow store the runs go to."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import Field, field_validator

from components.params import Section

__all__ = ["TrackingParams"]

_SQLITE = "sqlite:///"


class TrackingParams(Section):
    """Where runs are recorded.

    Attributes:
        uri: ``sqlite:///path`` (relative to the working directory; artifacts go to ``mlartifacts`` beside the
            file) or the ``http(s)://`` address of an MLflow server. Credentials come from the environment
            (MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD, MLFLOW_TRACKING_TOKEN), never from here.
        experiment: name of the MLflow experiment.
    """

    uri: str = "sqlite:///.poly-epo/mlflow.db"
    experiment: str = Field(default="poly-epo", min_length=1, max_length=200)

    @field_validator("uri")
    @classmethod
    def _known_scheme_without_secrets(cls, uri: str) -> str:
        parts = urlsplit(uri)
        if parts.scheme in ("http", "https") and parts.hostname:
            if parts.username or parts.password:
                raise ValueError("credentials belong in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD")
            return uri.rstrip("/")
        if uri.startswith(_SQLITE) and len(uri) > len(_SQLITE):
            return uri
        raise ValueError("must be sqlite:///PATH or the http(s):// address of an MLflow server")
