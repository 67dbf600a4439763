"""Figures of the model itself: what its parts see, weigh, and hold (paper sections 3.2 to 3.5)."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from emolib.labels import EXPRESSIONS, NUM_CLASSES
from emolib.results.figures import CLASS_COLOURS, COLUMN, OTHER, OURS, PAPER, STYLE, blank

STRIP = 8  # faces in a strip beside a heat map
OUTSIDE = "#B0B0B0"
MANY_SHARES = 16  # times the even share of attention, the end of the scale


def receptive_field(blocks: int, kernel: int) -> list[np.ndarray]:
    """What the last output of a TCN sees, layer by layer from output to input: steps 0, -1, ...

    Two convolutions a block, dilations 1, 2, 4, ...: 2 ``blocks`` + 1 arrays; the last one has
    1 + 2 (kernel - 1) (2^blocks - 1) steps.
    """
    layers = [np.zeros(1, dtype=int)]
    for block in reversed(range(blocks)):
        taps = -np.arange(kernel) * 2**block
        for _ in range(2):
            layers.append(np.unique(layers[-1][:, None] + taps))
    return layers


@mpl.rc_context(STYLE)
def reach(blocks: int, kernel: int, window: int) -> Figure:
    """The last output's receptive field, and how many real frames each output of a window sees."""
    layers = receptive_field(blocks, kernel)
    figure, (tree, count) = blank(
        "What one output of the TCN sees",
        origin="",
        rows=2,
        size=(2 * COLUMN, 3.4),
        gridspec_kw={"height_ratios": [3, 2]},
    )
    for height, steps in enumerate(reversed(layers)):
        inside = steps > -window
        for part, colour in ((steps[inside], OURS), (steps[~inside], OUTSIDE)):
            tree.scatter(part, np.full(len(part), height), s=3, color=colour, lw=0)
    tree.axvspan(
        -window + 0.5, 0.5, color=OURS, alpha=0.12, lw=0, label=f"the window, {window} frames"
    )
    tree.set_yticks([0, len(layers) - 1], ["input", "output"])
    tree.set(xlabel=f"frames before the last one; the field has {len(layers[-1])}", ylabel="layer")
    tree.legend(loc="upper left")
    steps = np.arange(window)
    count.bar(steps, np.minimum(steps + 1, len(layers[-1])), 1.0, color=OURS, lw=0)
    count.set(
        xlabel="output frame of the window", ylabel="frames it sees", xlim=(-0.5, window - 0.5)
    )
    return figure


@mpl.rc_context(STYLE)
def attention(
    faces: Sequence[np.ndarray],
    waveform: np.ndarray,
    log_mel: np.ndarray,
    faces_ask: np.ndarray,
    sound_asks: np.ndarray,
    *,
    title: str,
    origin: str,
) -> Figure:
    """Both directions of cross-attention of one window, over faces (down) and sound (right).

    faces: crops [H, W, 3] in time; waveform [n]; log_mel [bands, steps] in decibels; faces_ask
    [T, S] and sound_asks [S, T]: weights, each row adds up to 1. Both maps have the same axes.
    """
    figure = Figure(figsize=(2 * COLUMN, 4.6), layout="constrained")
    blank_title = title + (f" ({origin})" if origin else "")
    figure.suptitle(blank_title, fontsize=8, fontweight="bold")
    grid = figure.add_gridspec(
        3, 3, width_ratios=[0.55, 4, 4], height_ratios=[5, 0.8, 1.3], wspace=0.02
    )
    _strip(figure.add_subplot(grid[0, 0]), faces)
    seen, steps = faces_ask.shape
    # Rows of the left map and columns of the right one add up to 1: shown against an even share.
    # One scale for every model, so that maps before and after training can be compared.
    shares = [faces_ask * steps, sound_asks.T * seen]
    scale = LogNorm(1 / MANY_SHARES, MANY_SHARES, clip=True)
    for column, (name, share) in enumerate(
        zip(("faces ask, sound answers", "sound asks, faces answer"), shares, strict=True), start=1
    ):
        axis = figure.add_subplot(grid[0, column])
        image = axis.imshow(share, aspect="auto", cmap="viridis", norm=scale)
        axis.set_title(name, fontweight="normal")
        axis.set(
            xticks=[], yticks=[0, seen - 1] if column == 1 else [], ylabel="frame" * (column == 1)
        )
        axis.grid(visible=False)
        _sound(figure.add_subplot(grid[1, column]), waveform)
        _spectrogram(figure.add_subplot(grid[2, column]), log_mel)
    bar = figure.colorbar(image, ax=figure.axes, label="weight / even share", fraction=0.02)
    bar.set_ticks(
        [1 / MANY_SHARES, 1 / 4, 1, 4, MANY_SHARES], labels=["≤ 1/16", "1/4", "1", "4", "≥ 16"]
    )
    bar.minorticks_off()
    return figure


def _strip(axis: Axes, faces: Sequence[np.ndarray]) -> None:
    """Faces from the first at the top to the last."""
    picked = [faces[i] for i in np.linspace(0, len(faces) - 1, STRIP).astype(int)]
    axis.imshow(np.concatenate(picked), aspect="auto")
    axis.set(xticks=[], yticks=[])
    axis.grid(visible=False)


def _sound(axis: Axes, waveform: np.ndarray) -> None:
    axis.plot(waveform, color=PAPER, lw=0.3)
    axis.set(xticks=[], yticks=[], xlim=(0, max(len(waveform) - 1, 1)))
    axis.grid(visible=False)


def _spectrogram(axis: Axes, log_mel: np.ndarray) -> None:
    axis.imshow(log_mel, aspect="auto", origin="lower", cmap="magma", vmin=log_mel.max() - 60)
    axis.set(xticks=[], yticks=[], xlabel="time: waveform, log-mel spectrogram")
    axis.grid(visible=False)


def cosines(vectors: np.ndarray) -> np.ndarray:
    """The cosine of each pair of rows of ``vectors`` [n, d], as [n, n]."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit @ unit.T


@mpl.rc_context(STYLE)
def prompt_similarity(prompts: np.ndarray, *, origin: str) -> Figure:
    """Cosines between the prompts of the classes; prompts [8, D_v]."""
    figure, axis = blank("Cosine between the prompts", origin=origin, size=(COLUMN, 3.0))
    cosine = cosines(prompts)
    axis.imshow(cosine, cmap="cividis", vmax=1)
    for row, column in np.ndindex(*cosine.shape):
        bright = cosine[row, column] > (cosine.min() + 1) / 2
        axis.text(
            column,
            row,
            f"{cosine[row, column]:.2f}",
            ha="center",
            va="center",
            fontsize=7,
            color="black" if bright else "white",
        )
    axis.set_xticks(range(NUM_CLASSES), EXPRESSIONS, rotation=40, ha="right")
    axis.set_yticks(range(NUM_CLASSES), EXPRESSIONS)
    axis.grid(visible=False)
    return figure


@mpl.rc_context(STYLE)
def contrastive_targets(labels: Sequence[int], targets: Mapping[str, np.ndarray]) -> Figure:
    """Which prompt of a batch each video is pulled to, by kind of target.

    ``targets``: kind -> [B, B], rows add up to 1.
    """
    figure, axes = blank(
        "Targets of the contrastive loss in one batch",
        origin="",
        columns=len(targets),
        size=(2 * COLUMN, 3.4),
        squeeze=False,
    )
    names = [EXPRESSIONS[label] for label in labels]
    for axis, (kind, matrix) in zip(axes[0], targets.items(), strict=True):
        axis.imshow(matrix, cmap="Blues", vmin=0, vmax=1)
        axis.set_title(f"targets = {kind}", fontweight="normal")
        axis.set_xticks(range(len(names)), names, rotation=90)
        axis.set_yticks(range(len(names)), names)
        axis.set(xlabel="prompt of the window", ylabel="video of the window")
        axis.grid(visible=False)
    return figure


@mpl.rc_context(STYLE)
def class_weights(counts: Sequence[int], weights: Sequence[float], *, origin: str) -> Figure:
    """Training windows of each class, and the weight that a window of it has in the loss."""
    figure, (left, right) = blank(
        "Class weights", origin=origin, columns=2, size=(2 * COLUMN, 2.3), sharey=True
    )
    for axis, values, label in ((left, counts, "training windows"), (right, weights, "weight")):
        axis.barh(range(NUM_CLASSES), values, color=CLASS_COLOURS, edgecolor="black", lw=0.4)
        axis.set(xlabel=label)
        axis.grid(axis="y", visible=False)
    right.axvline(1, color=PAPER, lw=0.8, ls=":")
    left.set_yticks(range(NUM_CLASSES), EXPRESSIONS)
    left.invert_yaxis()
    return figure


@mpl.rc_context(STYLE)
def parameters(counts: Mapping[str, Mapping[str, int]]) -> Figure:
    """Where the parameters are, in per cent of each model's.

    ``counts``: model -> part -> trained numbers.
    """
    figure, axis = blank("Where the parameters are", origin="", size=(COLUMN, 2.4))
    height = 0.8 / len(counts)
    for i, ((model, parts), colour) in enumerate(
        zip(counts.items(), (PAPER, OURS, OTHER), strict=False)
    ):
        total = sum(parts.values())
        share = [100 * value / total for value in parts.values()]
        places = np.arange(len(parts)) + (i - (len(counts) - 1) / 2) * height
        axis.barh(places, share, height, color=colour, label=f"{model}: {total:,}")
    axis.set_yticks(range(len(parts)), list(parts))
    axis.invert_yaxis()
    axis.set(xlabel="share of the parameters, %")
    axis.grid(axis="y", visible=False)
    figure.legend(loc="outside lower center")
    return figure
