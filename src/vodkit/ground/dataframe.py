"""Records as data frames of pandas or polars, where one is installed."""

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from vodkit.ground.errors import needs

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

_NAMES = {"frames": "frame", "times_s": "time_s", "ids": "id", "labels": "label",
          "scores": "score", "states": "state"}  # fmt: skip
_STATES = np.array(["observed", "predicted", "filled"])  # as records.STATE_NAMES, which is above


def to_dataframe(self: Any) -> "pd.DataFrame":
    """One row a box, with the columns that the record has; boxes as x1, y1, x2, y2 in pixels.

    Returns:
        A data frame with a copy of the data; ``state`` is observed, predicted or filled.

    Raises:
        InputError: pandas is not installed.
    """
    with needs("a data frame needs pandas: pip install 'vodkit[pandas]'"):
        import pandas as pd
    return pd.DataFrame(_columns(self))


def to_polars(self: Any) -> "pl.DataFrame":
    """As ``to_dataframe``, for polars; pandas is not needed.

    Returns:
        A data frame with a copy of the data; ``state`` is observed, predicted or filled.

    Raises:
        InputError: polars is not installed.
    """
    with needs("a polars data frame needs polars: pip install 'vodkit[polars]'"):
        import polars as pl
    return pl.DataFrame(
        [
            pl.Series(name, values.tolist(), dtype=pl.Utf8)
            if values.dtype.kind == "U"
            else pl.Series(name, values)
            for name, values in _columns(self).items()
        ]
    )


def _columns(record: Any) -> dict[str, "np.ndarray[Any, Any]"]:
    """Copies of a record's columns, by their names in tables."""
    columns: dict[str, Any] = {}
    for spec in fields(record):
        values = getattr(record, spec.name)
        if not isinstance(values, np.ndarray):
            continue
        if spec.name == "boxes_xyxy":
            columns |= dict(zip(("x1", "y1", "x2", "y2"), values.T, strict=True))
        elif values.ndim == 1:
            shown = _STATES[values] if spec.name == "states" else values
            columns[_NAMES.get(spec.name, spec.name)] = shown
    return {name: np.array(values) for name, values in columns.items()}
