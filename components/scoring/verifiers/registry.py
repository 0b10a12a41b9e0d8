"""Verifiers by name."""

from __future__ import annotations

from components.errors import PolyEpoError
from components.scoring.verifiers.base import Verifier

__all__ = ["load_verifier"]


def load_verifier(name: str) -> Verifier:
    """The verifier that params ``scoring.verifier`` names.

    Raises:
        PolyEpoError: its package is not installed, or an import path leads nowhere.
    """
    # Imported one by one: SymPy and reasoning-gym take seconds, and few runs need either.
    try:
        match name:
            case "domain":
                from components.scoring.verifiers.domain import verify_domain  # noqa: PLC0415

                return verify_domain
            case "exact":
                from components.scoring.verifiers.exact import verify_exact  # noqa: PLC0415

                return verify_exact
            case "math_verify":
                from components.scoring.verifiers.mathematics import verify_mathematics  # noqa: PLC0415

                return verify_mathematics
            case "reasoning_gym":
                from components.scoring.verifiers.gym import verify_gym  # noqa: PLC0415

                return verify_gym
            case _:
                from components.scoring.verifiers.custom import load_custom  # noqa: PLC0415

                return load_custom(name)
    except ModuleNotFoundError as error:
        raise PolyEpoError(
            f"package {error.name} is not installed",
            where="scoring.verifier",
            value=name,
            remedy="pip install 'poly-epo[domains]'",
        ) from error
