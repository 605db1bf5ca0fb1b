"""Records as pandas data frames, where pandas is installed."""

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from vodkit.ground.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

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
    try:
        import pandas as pd
    except ModuleNotFoundError as error:
        message = "a data frame needs pandas: pip install 'vodkit[pandas]'"
        raise InputError(message) from error
    columns: dict[str, Any] = {}
    for spec in fields(self):
        values = getattr(self, spec.name)
        if not isinstance(values, np.ndarray):
            continue
        if spec.name == "boxes_xyxy":
            columns |= dict(zip(("x1", "y1", "x2", "y2"), values.T, strict=True))
        elif values.ndim == 1:
            shown = _STATES[values] if spec.name == "states" else values
            columns[_NAMES.get(spec.name, spec.name)] = shown
    return pd.DataFrame({name: np.array(values) for name, values in columns.items()})
