"""What is closed at the end of a ``with`` statement."""

from typing import Self


class Closing:
    """A resource with a ``close``, as a context manager."""

    def close(self) -> None:
        """Release what is held; once more does no harm."""

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()
