"""Checks of the counts that estimators are given. numpy alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from components.errors import PolyEpoError

__all__ = ["check_k", "integers"]


def integers(values: ArrayLike, name: str) -> NDArray[np.int64]:
    """``values`` as int64.

    Raises:
        PolyEpoError: they are not integers.
    """
    array = np.asarray(values)
    if not np.issubdtype(array.dtype, np.integer):
        if array.size:
            raise PolyEpoError(f"{name} must be integers", where="evaluation", value=str(array.dtype))
        array = array.astype(np.int64)
    return array.astype(np.int64)


def check_k(k: int, samples: int, where: str) -> None:
    """Refuse a k for which no unbiased estimator exists.

    Raises:
        PolyEpoError: k is below 1 or above ``samples``.
    """
    if k < 1 or k > samples:
        raise PolyEpoError(
            f"k must be between 1 and the {samples} samples per problem",
            where=where,
            value=k,
            remedy="draw more samples (evaluation.samples) or lower k",
        )
