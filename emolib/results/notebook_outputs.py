"""What of an executed notebook's outputs is a result, and what is noise."""

from collections.abc import Mapping
from typing import Any

HIDDEN = "hide-input"  # the tag of a cell of which only the output is to be read


def is_noise(output: Mapping[str, Any]) -> bool:
    """Progress bars: everything on stderr, and widgets."""
    widget = any("widget" in mime for mime in output.get("data", {}))
    return widget or (output["output_type"] == "stream" and output["name"] == "stderr")
