"""What pydantic finds wrong with a section of params.yaml, as one line: the key as it stands in the file, the value,
and what is allowed there."""

from __future__ import annotations

from collections.abc import Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, RootModel
from pydantic_core import ErrorDetails

from components.errors import PolyEpoError

__all__ = ["fault_of"]

_COMMENTS = "see the comments in params.yaml"


def fault_of(section: str, model: type[BaseModel], fault: ErrorDetails, *, where: str) -> PolyEpoError:
    """The error for one fault that pydantic found in ``section``, whose values ``model`` describes."""
    path, holder = _locate(model, fault["loc"])
    key = ".".join([section, *path])
    known = _COMMENTS
    if holder is not None:
        known = f"known keys of {'.'.join([section, *path[:-1]])}: {', '.join(holder.model_fields)}"
    match fault["type"]:
        case "extra_forbidden":
            return PolyEpoError(f"unknown key {key!r}", where=where, remedy=known)
        case "missing":
            return PolyEpoError(f"key {key!r} is missing", where=where, remedy=known)
        case "union_tag_invalid" | "union_tag_not_found":
            return _unknown_kind(key, _kinds(model, fault["loc"]), fault, where)
        case "model_type" | "model_attributes_type" | "dict_type":
            return PolyEpoError(f"{key} must be a mapping of keys", where=where, value=fault["input"], remedy=_COMMENTS)
    message = fault["msg"].removeprefix("Value error, ")
    # A fault between keys has the whole section for its value: the message alone says more.
    value = fault["input"] if path else None
    return PolyEpoError(f"{key}: {message}", where=where, value=value, remedy=_COMMENTS)


def _unknown_kind(key: str, kinds: Sequence[str], fault: ErrorDetails, where: str) -> PolyEpoError:
    context = fault["ctx"]
    key = f"{key}.{str(context['discriminator']).strip(chr(39))}"
    remedy = f"one of: {', '.join(kinds)}"
    if "tag" not in context:
        return PolyEpoError(f"key {key!r} is missing", where=where, remedy=remedy)
    return PolyEpoError(f"{key} is not known", where=where, value=context["tag"], remedy=remedy)


def _locate(model: type[BaseModel], location: Sequence[int | str]) -> tuple[list[str], type[BaseModel] | None]:
    """The keys of the file that ``location`` stands for, and the model that holds the last of them (None: a list, ...).

    pydantic's location also names the member of a union it tried; the file has no such key.
    """
    path: list[str] = []
    holder: type[BaseModel] | None = None
    here: Any = model
    for part in location:
        here = _plain(here)
        if _is_union(here):
            here = next((member for member in get_args(here) if part in _tags(member)), None)
            if here is None:
                break
            continue
        path.append(str(part))
        holder = here if _is_model(here) else None
        here = _inside(here, part)
    return path, holder


def _kinds(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    """The values of ``kind`` that the union at ``location`` knows."""
    here: Any = model
    for part in location:
        here = _inside(_plain(here), part)
    return [tag for member in get_args(_plain(here)) for tag in _tags(member)]


def _plain(kind: Any) -> Any:
    """``kind`` without Annotated, without a root model around it, and without an alternative of None."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif isinstance(kind, type) and issubclass(kind, RootModel):
            kind = kind.model_fields["root"].annotation
        elif _is_union(kind) and len(some := [member for member in get_args(kind) if member is not NoneType]) == 1:
            kind = some[0]
        else:
            return kind


def _inside(kind: Any, part: int | str) -> Any:
    """The type of what lies at ``part`` of a value of type ``kind``; None where that is unknown."""
    if _is_model(kind):
        field = kind.model_fields.get(part)
        return None if field is None else field.annotation
    arguments = get_args(kind)
    return arguments[-1] if arguments else None


def _tags(member: Any) -> tuple[str, ...]:
    if not _is_model(member) or "kind" not in member.model_fields:
        return ()
    return get_args(member.model_fields["kind"].annotation)


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel) and not issubclass(kind, RootModel)


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in (Union, UnionType)
