"""How many tokens' logits the head holds at a time; light, for what only plans with it."""

from __future__ import annotations

__all__ = ["chunk_tokens"]

# Logits in one chunk: 64 MiB in float32 on a CPU; a GPU needs more rows at once to be busy.
_ELEMENTS = {"cpu": 1 << 24, "cuda": 1 << 25}


def chunk_tokens(vocabulary: int, device_type: str) -> int:
    """Tokens whose logits over ``vocabulary`` are held at a time on a device of this type."""
    return max(_ELEMENTS.get(device_type, _ELEMENTS["cpu"]) // vocabulary, 1)
