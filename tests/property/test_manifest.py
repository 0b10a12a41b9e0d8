"""Laws of fingerprints and digests."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.manifest import fingerprint, publish, read_manifest

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4))
FILES = st.dictionaries(st.sampled_from(["a", "b", "c.json", "d"]), st.binary(max_size=8), max_size=3)


def turned(value: object) -> object:
    """The same value with every mapping's keys in the opposite order."""
    if isinstance(value, dict):
        return {key: turned(value[key]) for key in reversed(list(value))}
    return [turned(item) for item in value] if isinstance(value, list) else value


@given(VALUES)
def test_a_fingerprint_does_not_depend_on_the_order_of_keys_nor_on_a_trip_through_json(value: object) -> None:
    assert fingerprint(turned(value)) == fingerprint(value)
    assert fingerprint(json.loads(json.dumps(value))) == fingerprint(value)
    assert len(fingerprint(value)) == 64


@given(VALUES, VALUES)
def test_fingerprints_differ_where_the_json_differs(one: object, two: object) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True)
    assert (fingerprint(one) == fingerprint(two)) == same


@given(st.lists(st.text(max_size=3), min_size=2, max_size=3))
def test_parts_are_not_glued_together(parts: list[str]) -> None:
    assert fingerprint(*parts) != fingerprint("".join(parts))
    assert fingerprint(*parts) != fingerprint(parts)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, object()])
def test_what_json_cannot_say_has_no_fingerprint(value: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        fingerprint(value)


@given(FILES, FILES)
@settings(max_examples=40)
def test_digests_are_equal_exactly_where_the_files_are(one: dict[str, bytes], two: dict[str, bytes]) -> None:
    digests = []
    with tempfile.TemporaryDirectory() as root:
        for place, files in enumerate((one, two)):
            with publish(Path(root) / str(place), fingerprint="f") as directory:
                for name, content in files.items():
                    (directory / name).write_bytes(content)
            manifest = read_manifest(Path(root) / str(place), verify=True)
            assert manifest is not None
            digests.append(manifest.digest)
    assert (digests[0] == digests[1]) == (one == two)
