"""Where a figure goes: into files, or into a notebook with an alternative text. Bytes depend on the
numbers only.
"""

import base64
import html
import io
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from PIL import Image

from emolib.results.figures.style import STYLE
from emolib.system.files import atomic_path


def png(figure: Figure, dpi: int = 200) -> bytes:
    """The figure as a PNG file's bytes, ``dpi`` dots an inch."""
    with mpl.rc_context(STYLE), io.BytesIO() as buffer:
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
        return buffer.getvalue()


def save(figure: Figure, name: str, folder: Path) -> Figure:
    """Write ``<folder>/<name>.png`` and ``.svg``, each atomically; equal figures give equal bytes.
    Returns the figure.
    """
    with atomic_path(folder / f"{name}.png") as temporary:
        temporary.write_bytes(png(figure))
    with atomic_path(folder / f"{name}.svg") as temporary, mpl.rc_context(STYLE):
        figure.savefig(temporary, format="svg", metadata={"Date": None, "Creator": None})
    return figure


def show(figure: Figure, alt: str) -> None:
    """Display a figure in a notebook with an alternative text for those who cannot see it.

    As an ``<img>`` of its own, because JupyterLab ignores alt texts given to plain PNG outputs; and
    as ``image/png`` beside it, which is what nbconvert takes for LaTeX and PDF.
    """
    from IPython.display import display

    data = base64.b64encode(_small(png(figure, 150))).decode()
    text, title = (html.escape(part, quote=True) for part in (alt, figure.get_suptitle()))
    style = "max-width: 100%; background: white"
    image = f'<img src="data:image/png;base64,{data}" alt="{text}" title="{title}" style="{style}">'
    display({"text/html": image, "image/png": data, "text/plain": alt}, raw=True)


def _small(picture: bytes) -> bytes:
    """A PNG in 256 colours, about a third of the size: a notebook holds each picture twice."""
    with Image.open(io.BytesIO(picture)) as image, io.BytesIO() as buffer:
        full = image.convert("RGB")
        palette = full.quantize(256)
        dithered = full.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
        dithered.save(buffer, format="png", optimize=True)
        return buffer.getvalue()
