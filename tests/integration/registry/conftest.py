"""One sqlite store for a module's tests, each with a model of its own."""

from __future__ import annotations

import pytest

from tests.integration.registry.desk import Desk
from tests.unit.tracking import synthetic


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    return synthetic.new_database(tmp_path_factory.mktemp("store"))


@pytest.fixture
def desk(tmp_path, uri):
    return Desk(tmp_path, uri)
