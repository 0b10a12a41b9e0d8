"""Import paths, ``package.module:Name``, as they stand in params.yaml."""

from __future__ import annotations

import importlib

from components.objectives.errors import ObjectiveError

__all__ = ["load_attribute"]


def load_attribute(path: str) -> object:
    """The object at ``package.module:Name``.

    Raises:
        ObjectiveError: the module cannot be found or has no such name. An error inside the module is not hidden.
    """
    module_name, _, attribute = path.partition(":")
    if not (module_name and attribute):
        raise ObjectiveError("not an import path", value=path, remedy="write package.module:Name")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except (ModuleNotFoundError, AttributeError) as error:
        raise ObjectiveError(
            f"cannot be imported: {error}",
            where=path,
            remedy="write package.module:Name; the package must be installed",
        ) from error
