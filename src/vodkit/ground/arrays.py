"""Names for numpy arrays in signatures: they say the kind, the docstring says the shape.

numpy's own generics cannot express a shape and reject harmless mixtures of widths, so each
name is an array of anything to the type checker; the records check real dtypes at birth.
"""

from typing import Any, TypeAlias

import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[Any]
IntArray: TypeAlias = npt.NDArray[Any]
BoolArray: TypeAlias = npt.NDArray[Any]
ByteArray: TypeAlias = npt.NDArray[Any]
