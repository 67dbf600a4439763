"""The model as a drawing: the paper's figure 1 as SVG, with the sizes of an experiment.

It is readable on a light and on a dark page.
"""

import base64
import html
from dataclasses import dataclass

from emolib.config import Experiment

WIDTH, HEIGHT = 980, 400
ALT = (
    "The model: faces through frozen CLIP and a temporal convolutional network, "
    "sound through frozen Wav2Vec 2.0 and an adapter, cross-attention in both directions, "
    "means over time, a classifier with eight logits, "
    "and a contrastive loss between the visual vector and the prompts of the classes."
)
STYLE = """
svg { font: 13px "Helvetica Neue", Arial, "DejaVu Sans", sans-serif }
.page { fill: #ffffff } .name { fill: #1a1a1a; font-weight: 600 } \
.size { fill: #555555; font-size: 11px }
.frozen { fill: #e8e8e8; stroke: #8a8a8a; stroke-dasharray: 5 3 } \
.faces { fill: #d6e8f5; stroke: #0072b2 }
.sound { fill: #fbe9cc; stroke: #c07f00 } .both { fill: #d5efe6; stroke: #009e73 }
.loss { fill: #f6e1ee; stroke: #b0578c } .flow { stroke: #444444; fill: none; stroke-width: 1.5 }
.tip { fill: #444444 }
@media (prefers-color-scheme: dark) {
.page { fill: #14181d } .name { fill: #f0f0f0 } .size { fill: #b8b8b8 }
.frozen { fill: #2b2f34; stroke: #8a8a8a } .faces { fill: #12344d; stroke: #56b4e9 }
.sound { fill: #4a3509; stroke: #e69f00 } .both { fill: #0d3d31; stroke: #2fbf95 }
.loss { fill: #47233a; stroke: #d88bb8 } .flow { stroke: #bbbbbb } .tip { fill: #bbbbbb }
}
"""


@dataclass(frozen=True)
class Box:
    """A step of the model: its place in pixels, its kind, its name, and what comes out of it."""

    x: int
    y: int
    kind: str  # a class of the style
    name: str
    size: str
    width: int = 130
    height: int = 56

    def svg(self) -> str:
        middle = self.x + self.width / 2
        return (
            f'<rect class="{self.kind}" x="{self.x}" y="{self.y}" width="{self.width}" '
            f'height="{self.height}" rx="7"/>'
            f'<text class="name" x="{middle:g}" y="{self.y + 24}" text-anchor="middle">'
            f"{html.escape(self.name)}</text>"
            f'<text class="size" x="{middle:g}" y="{self.y + 43}" text-anchor="middle">'
            f"{html.escape(self.size)}</text>"
        )


def drawing(experiment: Experiment, *, visual_width: int = 512, audio_width: int = 768) -> str:
    """The SVG of a model with both streams.

    Boxes are steps, with the shape that leaves each; dashed ones are frozen.
    """
    frames, width = experiment.window, experiment.width
    top, middle, bottom = 30, 160, 290  # of the rows: faces, sound, prompts
    boxes = [
        Box(20, top, "frozen", "CLIP, image", f"V: {frames} × {visual_width}"),
        Box(20, middle, "frozen", "Wav2Vec 2.0", f"A: S × {audio_width}"),
        Box(20, bottom, "frozen", "CLIP, text", f"8 prompts × {visual_width}"),
        Box(200, top, "faces", f"TCN, {experiment.tcn_blocks} blocks", f"F_v: {frames} × {width}"),
        Box(200, middle, "sound", "Adapter", f"F_a: S × {width}"),
        Box(390, top, "both", "Faces ask sound", f"H_V2A: {frames} × {width}", 140),
        Box(390, middle, "both", "Sound asks faces", f"H_A2V: S × {width}", 140),
        Box(590, top, "faces", "Mean over time", f"{width}"),
        Box(590, middle, "sound", "Mean over time", f"{width}"),
        Box(790, 95, "both", "Classifier", f"{2 * width} to 8 logits", 160),
        Box(590, bottom, "faces", "Projection", f"v: {visual_width}, length 1"),
        Box(790, bottom, "loss", "Contrastive loss", "v against the prompts t", 160),
        Box(790, 190, "loss", "Cross-entropy", "weighted by class", 160),
    ]
    arrows = [
        "M150 58 H194",
        "M150 188 H194",
        "M330 58 H384",
        "M330 188 H384",
        "M340 188 V100 Q340 72 384 72",  # sound to the faces' attention
        "M355 58 V146 Q355 174 384 174",  # faces to the sound's
        "M530 58 H584",
        "M530 188 H584",
        "M720 58 H755 V113 H784",
        "M720 188 H755 V133 H784",
        "M620 86 V125 H562 V306 H584",
        "M870 151 V184",
        "M720 318 H784",
        "M150 318 H535 V366 H870 V352",
    ]
    lines = "".join(f'<path class="flow" marker-end="url(#tip)" d="{path}"/>' for path in arrows)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{html.escape(ALT)}"><style>{STYLE}</style>'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path class="tip" d="M0 0 L8 4 L0 8 z"/></marker></defs>'
        f'<rect class="page" width="{WIDTH}" height="{HEIGHT}" rx="10"/>{lines}'
        f"{''.join(box.svg() for box in boxes)}"
        '<text class="size" x="20" y="388">dashed: frozen, computed once; S: steps of sound, '
        "about 50 a second</text></svg>\n"
    )


def show(experiment: Experiment) -> None:
    """Display the drawing in a notebook, with its alternative text."""
    from IPython.display import display

    data = base64.b64encode(drawing(experiment).encode()).decode()
    image = (
        f'<img src="data:image/svg+xml;base64,{data}" alt="{html.escape(ALT, quote=True)}" '
        'title="The model" style="width: 100%; max-width: 980px">'
    )
    display({"text/html": image, "text/plain": ALT}, raw=True)
