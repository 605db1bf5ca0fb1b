"""vodkit turns labelled video into an object detector and tracker that you can trust."""

from importlib.metadata import version

__version__ = version("vodkit")
