"""The one division: undefined is None, never 0 or 1."""


def ratio(part: float, whole: float) -> float | None:
    """``part / whole``; None when ``whole`` is 0.

    >>> ratio(1, 4), ratio(0, 0)
    (0.25, None)
    """
    return float(part) / float(whole) if whole else None


def mean(values: list[float | None]) -> float | None:
    """The mean of the values that are defined; None when none is.

    >>> mean([1.0, None, 2.0])
    1.5
    """
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
