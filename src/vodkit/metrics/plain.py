"""Results as plain JSON values: what ``to_json`` of every result gives back."""

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

DIGITS = 12


def as_json(value: Any) -> Any:
    """Dicts, lists, strings, numbers, None; an undefined (NaN, infinite) number is None.

    >>> as_json({"a": (1.0, float("nan"))})
    {'a': [1.0, None]}
    """
    if is_dataclass(value):
        return {spec.name: as_json(getattr(value, spec.name)) for spec in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return as_json(value.tolist())
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if isinstance(value, np.generic):
        return as_json(value.item())
    if isinstance(value, float):
        return round(value, DIGITS) if math.isfinite(value) else None
    return value
