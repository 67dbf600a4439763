"""A video to play in a notebook page."""

import base64
import html
from pathlib import Path

LARGEST = 6 * 2**20  # bytes put into a page


def player(video: Path, text: str) -> str:
    """HTML that plays ``video`` with its sound, described by ``text``; one too large is named."""
    size = video.stat().st_size
    if size > LARGEST:
        return f"<p>{html.escape(video.name)} has {size / 2**20:.0f} MB: open it in a player.</p>"
    data = base64.b64encode(video.read_bytes()).decode()
    label = html.escape(text, quote=True)
    return (
        f'<video controls style="max-width: 100%; min-height: 240px" aria-label="{label}" '
        f'title="{label}" src="data:video/mp4;base64,{data}"></video>'
    )
