"""Figures: one function a figure, from plain arrays to a Matplotlib ``Figure``; then saved or shown with an alt text.

One style, legible at column width (3.4 inches). Colours are Okabe and Ito's, told apart with every common colour
blindness (https://jfly.uni-koeln.de/color/); markers or labels repeat what they say. Bytes depend on the numbers only.
"""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from emolib import paper
from emolib.features.origin import labelled
from emolib.labels import EXPRESSIONS, NUM_CLASSES
from emolib.system.files import atomic_path, printable

COLUMN = 3.4  # inches, a column of a two-column paper
CLASS_COLOURS = (
    "#7F7F7F",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#F0E442",
    "#0072B2",
    "#E69F00",
    "#56B4E9",
)  # Neutral .. Other
OURS, OTHER, PAPER, GRID = "#0072B2", "#E69F00", "#000000", "#D9D9D9"
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "axes.titlesize": 8,
    "axes.labelsize": 7,
    "legend.fontsize": 6,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "axes.titleweight": "bold",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.4,
    "svg.hashsalt": "emolib",
    "figure.dpi": 150,
}


@mpl.rc_context(STYLE)
def blank(
    title: str,
    *,
    origin: str,
    rows: int = 1,
    columns: int = 1,
    size: tuple[float, float] = (COLUMN, 2.4),
    **grid: Any,
) -> Any:
    """A figure in our style and its axes; the title says ``origin`` where it is not the real thing (``origin.origin``)."""
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, **grid)
    figure.suptitle(
        printable(labelled(title, origin)), fontsize=8, fontweight="bold", parse_math=False
    )  # a file's name may have dollars
    return figure, axes


def _png(figure: Figure, dpi: int = 200) -> bytes:
    with mpl.rc_context(STYLE), io.BytesIO() as buffer:
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
        return buffer.getvalue()


def save(figure: Figure, name: str, folder: Path) -> Figure:
    """Write ``<folder>/<name>.png`` and ``.svg``, each atomically; equal figures give equal bytes. Returns the figure."""
    with atomic_path(folder / f"{name}.png") as temporary:
        temporary.write_bytes(_png(figure))
    with atomic_path(folder / f"{name}.svg") as temporary, mpl.rc_context(STYLE):
        figure.savefig(temporary, format="svg", metadata={"Date": None, "Creator": None})
    return figure


def show(figure: Figure, alt: str) -> None:
    """Display a figure in a notebook with an alternative text for those who cannot see it.

    As an ``<img>`` of its own: JupyterLab ignores alt texts given to plain PNG outputs.
    """
    from IPython.display import display

    data, text = base64.b64encode(_png(figure, 150)).decode(), html.escape(alt, quote=True)
    title = html.escape(figure.get_suptitle(), quote=True)
    image = f'<img src="data:image/png;base64,{data}" alt="{text}" title="{title}" style="max-width: 100%; background: white">'
    display({"text/html": image, "text/plain": alt}, raw=True)


# data


@mpl.rc_context(STYLE)
def class_distribution(counts: Mapping[str, Sequence[int]], *, origin: str) -> Figure:
    """Shares of the classes by split, beside the paper's training ratios. ``counts``: split -> [8]."""
    figure, axis = blank("Class distribution", origin=origin)
    bars = {
        split: 100 * np.asarray(values) / max(sum(values), 1) for split, values in counts.items()
    }
    bars["paper, real train (poster)"] = 100 * np.array(list(paper.TRAIN_RATIO.values()))
    width = 0.8 / len(bars)
    for i, (label, values) in enumerate(bars.items()):
        colour, hatch = (
            (PAPER, "")
            if label.startswith("paper")
            else ((OURS, "") if i == 0 else (OTHER, "////"))
        )
        axis.bar(
            np.arange(NUM_CLASSES) + (i - (len(bars) - 1) / 2) * width,
            values,
            width,
            label=label,
            color=colour,
            hatch=hatch,
            lw=0,
        )
    axis.set_ylabel("share, %")
    _class_ticks(axis)
    axis.grid(axis="x", visible=False)
    axis.legend()
    return figure


@mpl.rc_context(STYLE)
def histogram(
    values: Mapping[str, np.ndarray],
    *,
    title: str,
    xlabel: str,
    ylabel: str = "clips",
    origin: str,
    bins: int = 20,
) -> Figure:
    """How one quantity is spread over the clips, one step line a split (clip lengths, frame rates, missing faces)."""
    figure, axis = blank(title, origin=origin, size=(COLUMN, 2.0))
    everything = np.concatenate([np.asarray(v, dtype=float) for v in values.values()])
    low, high = float(everything.min()), float(everything.max())
    edges = np.linspace(low, high if high > low else low + 1, bins + 1)
    for (label, data), colour, style in zip(
        values.items(), (OURS, OTHER, PAPER), ("-", "--", ":"), strict=False
    ):
        heights, _ = np.histogram(data, edges)
        axis.stairs(
            heights,
            edges,
            label=f"{label} ({len(data)})",
            color=colour,
            ls=style,
            lw=1.2,
            fill=False,
        )
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.legend()
    return figure


@mpl.rc_context(STYLE)
def faces(images: Mapping[str, Sequence[np.ndarray]], *, title: str, origin: str) -> Figure:
    """Rows of face crops [H, W, 3], one row a name, all rows of equal length."""
    columns = len(next(iter(images.values())))
    figure, axes = blank(
        title,
        origin=origin,
        rows=len(images),
        columns=columns,
        size=(COLUMN, 0.45 * len(images) + 0.3),
        squeeze=False,
    )
    for row, (name, crops) in zip(axes, images.items(), strict=True):
        for axis, crop in zip(row, crops, strict=True):
            axis.imshow(crop)
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        row[0].set_ylabel(name, rotation=0, ha="right", va="center")
    return figure


# training


@mpl.rc_context(STYLE)
def training_curves(
    history: Mapping[str, Sequence[float]], *, best_epoch: int, origin: str
) -> Figure:
    """Losses by epoch and the validation macro-F1 that chooses the checkpoint. ``history``: columns of history.csv."""
    figure, (left, right) = blank("Training", origin=origin, columns=2, size=(2 * COLUMN, 2.2))
    epoch = history["epoch"]
    for column, label, style in (
        ("train_loss", "total", "-"),
        ("classification_loss", "classification", "--"),
        ("contrastive_loss", "contrastive", ":"),
    ):
        if column in history:
            left.plot(epoch, history[column], style, color=OURS, label=label)
    left.set(xlabel="epoch", ylabel="training loss")
    left.legend()
    right.plot(epoch, history["validation_macro_f1"], "o-", color=OURS, label="validation, windows")
    right.axvline(best_epoch, color=PAPER, lw=0.8, ls=":", label="chosen epoch")
    right.set(xlabel="epoch", ylabel="macro-F1", ylim=(0, 1))
    right.legend()
    return figure


@mpl.rc_context(STYLE)
def confusion(matrix: Sequence[Sequence[int]], *, title: str, origin: str) -> Figure:
    """Row-normalised confusion [8, 8] (row: annotated, column: predicted) with counts."""
    figure, axis = blank(title, origin=origin, size=(COLUMN, 3.2))
    counts = np.asarray(matrix)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        if counts[row, column]:
            colour = "white" if share[row, column] > 0.5 else "black"
            axis.text(
                column,
                row,
                f"{share[row, column]:.2f}\n{_short(int(counts[row, column]))}",
                ha="center",
                va="center",
                fontsize=5,
                color=colour,
            )
    axis.grid(visible=False)
    _class_ticks(axis)
    axis.set_yticks(range(NUM_CLASSES), EXPRESSIONS)
    axis.set(xlabel="predicted", ylabel="annotated")
    return figure


@mpl.rc_context(STYLE)
def timeline(
    times: np.ndarray,
    probabilities: np.ndarray,
    labels: np.ndarray,
    predictions: np.ndarray,
    *,
    title: str,
    origin: str,
) -> Figure:
    """One clip: probabilities [n, 8] over ``times`` [n] seconds, above bands of annotated and predicted classes (-1: none)."""
    figure, (above, below) = blank(
        title,
        origin=origin,
        rows=2,
        size=(2 * COLUMN, 2.6),
        sharex=True,
        gridspec_kw={"height_ratios": [4, 1]},
    )
    shown = np.nan_to_num(probabilities)
    above.stackplot(times, shown.T, colors=CLASS_COLOURS, labels=EXPRESSIONS, lw=0)
    above.set(ylabel="probability", ylim=(0, 1), xlim=(times[0], times[-1]))
    above.legend(ncols=1, loc="center left", bbox_to_anchor=(1.0, 0.5), reverse=True)
    colours = ListedColormap(("white", *CLASS_COLOURS))
    edges = np.append(times, times[-1] + (times[-1] - times[-2] if len(times) > 1 else 1))
    bands = np.stack([predictions, labels]) + 1
    below.pcolormesh(edges, [0, 1, 2], bands, cmap=colours, vmin=-0.5, vmax=NUM_CLASSES + 0.5)
    for row, band in enumerate((predictions, labels)):
        _name_runs(below, times, band, row + 0.5)
    below.set_yticks([0.5, 1.5], ["predicted", "annotated"])
    below.set(xlabel="time, s")
    below.grid(visible=False)
    return figure


def _name_runs(axis: Axes, times: np.ndarray, band: np.ndarray, height: float) -> None:
    """Write the class into every run that is long enough to hold its name."""
    starts = np.flatnonzero(np.diff(band, prepend=band[0] - 1))
    for start, end in zip(starts, np.append(starts[1:], len(band)) - 1, strict=True):
        if band[start] >= 0 and times[end] - times[start] > 0.1 * (times[-1] - times[0]):
            ink = ink_on(CLASS_COLOURS[band[start]])
            axis.text(
                (times[start] + times[end]) / 2,
                height,
                EXPRESSIONS[band[start]],
                ha="center",
                va="center",
                fontsize=6,
                color=ink,
            )


def ink_on(fill: str) -> str:
    """Black or white, whichever is read more easily on the colour ``fill`` ("#RRGGBB"): by WCAG 2's contrast of luminances."""
    sRGB = np.array([int(fill[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(sRGB <= 0.04045, sRGB / 12.92, ((sRGB + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ [0.2126, 0.7152, 0.0722])
    return (
        "#000000" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "#FFFFFF"
    )  # equal contrast where the squares are equal


# results


@mpl.rc_context(STYLE)
def window_curve(rows: Sequence[Mapping[str, Any]], *, origin: str) -> Figure:
    """Macro-F1 against window length: seeds, mean, interval and ceiling of ours; the paper's on its own data as dashes.

    ``rows``: of ``tables.window_rows``.
    """
    figure, axis = blank("Macro-F1 by window length", origin=origin, size=(COLUMN, 2.6))
    windows = sorted({row["window"] for row in rows})
    place = {window: i for i, window in enumerate(windows)}
    for protocol, colour, marker, shift in (
        ("frame", OURS, "o", -0.08),
        ("window", OTHER, "s", 0.08),
    ):
        mine = [row for row in rows if row["protocol"] == protocol]
        x = np.array([place[row["window"]] for row in mine]) + shift
        mean = np.array([row["macro_f1"] for row in mine])
        spread = np.abs(np.array([row["interval"] for row in mine]).T - mean)
        axis.errorbar(
            x, mean, spread, fmt=f"{marker}-", color=colour, capsize=2, label=f"ours, {protocol}s"
        )
        for position, row in zip(x, mine, strict=True):
            axis.scatter(
                np.full(len(row["values"]), position),
                row["values"],
                s=6,
                color=colour,
                alpha=0.5,
                lw=0,
            )
        if all(row["ceiling"] is not None for row in mine):
            axis.plot(
                x,
                [row["ceiling"] for row in mine],
                "^",
                ls=":",
                color=colour,
                mfc="white",
                lw=0.9,
                label=f"ceiling, {protocol}s",
            )
    published = {
        "paper, real validation": paper.VALIDATION_MACRO_F1,
        "paper, real test": paper.TEST_MACRO_F1,
    }
    for (label, values), marker in zip(published.items(), ("D", "x"), strict=True):
        known = [window for window in windows if window in values]
        axis.plot(
            [place[w] for w in known],
            [values[w] for w in known],
            marker=marker,
            ls="--",
            color=PAPER,
            lw=0.9,
            ms=3,
            label=label,
        )
    axis.set_xticks(range(len(windows)), [str(window) for window in windows])
    axis.set(xlabel="window, frames", ylabel="macro-F1", ylim=(0, 1.03))
    figure.legend(loc="outside lower center", ncols=3)
    return figure


@mpl.rc_context(STYLE)
def class_f1(
    per_class: Sequence[Mapping[str, Any]],
    *,
    ceiling: Sequence[float] | None,
    protocol: str,
    origin: str,
) -> Figure:
    """F1 of each class with its 95 % interval over clips, its ceiling, and the poster's values."""
    figure, axis = blank(f"F1 by class, {protocol}s", origin=origin, size=(COLUMN, 2.6))
    x, f1 = np.arange(NUM_CLASSES), np.array([entry["f1"] for entry in per_class])
    spread = np.clip(
        np.abs(np.array([entry["f1_interval"] for entry in per_class]).T - f1), 0, None
    )
    axis.bar(x, f1, 0.6, color=OURS, label="ours, 95 % interval over clips")
    axis.errorbar(x, f1, spread, fmt="none", ecolor=PAPER, elinewidth=0.8, capsize=2)
    if ceiling is not None:
        axis.plot(x, ceiling, "_", color=OTHER, ms=14, mew=1.6, label="ceiling")
    axis.plot(
        x,
        list(paper.CLASS_F1.values()),
        "D",
        color=PAPER,
        mfc="white",
        ms=4,
        label="paper, real data",
    )
    axis.set(ylabel="F1", ylim=(0, 1.02))
    _class_ticks(axis)
    axis.grid(axis="x", visible=False)
    figure.legend(loc="outside lower center", ncols=3)
    return figure


@mpl.rc_context(STYLE)
def f1_against_ratio(
    per_class: Sequence[Mapping[str, Any]], ratio: Sequence[float], *, origin: str
) -> Figure:
    """F1 of each class against its share of the training data (log axis): ours as dots, the poster's as diamonds."""
    figure, axis = blank("F1 against training ratio", origin=origin, size=(COLUMN, 2.8))
    f1 = np.array([entry["f1"] for entry in per_class])
    spread = np.clip(
        np.abs(np.array([entry["f1_interval"] for entry in per_class]).T - f1), 0, None
    )
    axis.errorbar(
        100 * np.asarray(ratio),
        f1,
        spread,
        fmt="o",
        color=OURS,
        elinewidth=0.7,
        capsize=2,
        label="ours",
    )
    theirs = 100 * np.array(list(paper.TRAIN_RATIO.values()))
    axis.plot(
        theirs,
        list(paper.CLASS_F1.values()),
        "D",
        color=PAPER,
        mfc="white",
        label="paper, real data",
    )
    axis.set_xscale("log")
    axis.set_xticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
    axis.minorticks_off()
    axis.set(
        xlabel="share of the training data, % (log)", ylabel="F1", ylim=(-0.08, 1.12), xlim=(1, 60)
    )
    figure.legend(loc="outside lower center", ncols=2)
    _name_points(
        axis,
        [
            *zip(100 * np.asarray(ratio), f1, strict=True),
            *zip(theirs, paper.CLASS_F1.values(), strict=True),
        ],
    )
    return figure


def _name_points(axis: Axes, points: Sequence[tuple[float, float]]) -> None:
    """Write class names beside ``points`` (the eight classes, repeated), each where it covers the least of the others."""
    scale = 72 / axis.figure.get_dpi()
    places = axis.transData.transform(points) * scale  # typographic points
    taken = [place + offset for place in places for offset in ((0, 0), (0, 4), (0, -4))]
    angles = np.arange(16) * np.pi / 8
    for i, place in enumerate(places):
        options = [
            distance * np.array([np.cos(a), np.sin(a) * 0.8])
            for distance in (11, 16, 22, 28)
            for a in angles
        ]
        middle = min(
            options,
            key=lambda o: sum(_overlap(place + o - other) for other in taken) + 0.01 * np.hypot(*o),
        )
        arrow = {"arrowstyle": "-", "lw": 0.3, "color": PAPER, "shrinkA": 0, "shrinkB": 2}
        colour = OURS if i < NUM_CLASSES else PAPER
        axis.annotate(
            EXPRESSIONS[i % NUM_CLASSES],
            points[i],
            xytext=tuple(middle),
            textcoords="offset points",
            fontsize=5.5,
            ha="center",
            va="center",
            color=colour,
            arrowprops=arrow,
        )
        taken += [place + middle + (x, 0) for x in (-7, 0, 7)]


def _overlap(distance: np.ndarray) -> float:
    """How much a label of about 22 by 6 typographic points covers of a spot at ``distance``."""
    return float(max(0, 1 - abs(distance[0]) / 16) * max(0, 1 - abs(distance[1]) / 7))


# features


def principal_components(features: np.ndarray, count: int = 2) -> np.ndarray:
    """``features`` [n, d] on the ``count`` directions in which they differ most after standardising, each with a fixed sign."""
    standard = (features - features.mean(0)) / np.maximum(features.std(0), 1e-6)
    _, _, directions = np.linalg.svd(standard, full_matrices=False)
    largest = np.take_along_axis(directions, np.abs(directions).argmax(1)[:, None], 1)
    return standard @ (directions * np.sign(largest))[:count].T


@mpl.rc_context(STYLE)
def embedding(points: np.ndarray, labels: np.ndarray, *, title: str, origin: str) -> Figure:
    """A map of feature vectors reduced to ``points`` [n, 2], coloured by class and named at each class's middle."""
    figure, axis = blank(title, origin=origin, size=(COLUMN, 2.8))
    names: dict[
        tuple[float, float], list[str]
    ] = {}  # classes that lie on top of each other share one place
    near = 0.08 * np.ptp(points, axis=0)
    for index, name in enumerate(EXPRESSIONS):
        mine = points[labels == index]
        if len(mine):
            axis.scatter(*mine.T, s=5, color=CLASS_COLOURS[index], lw=0, alpha=0.7)
            middle = np.median(mine, axis=0)
            place = next(
                (place for place in names if (np.abs(middle - place) < near).all()), tuple(middle)
            )
            names.setdefault(place, []).append(name)
    for place, group in names.items():
        axis.text(
            *place,
            "\n".join(group),
            fontsize=6,
            ha="center",
            va="center",
            bbox={"fc": "white", "ec": "none", "alpha": 0.7, "pad": 0.6},
        )
    axis.set(xlabel="first component", ylabel="second component")
    return figure


@mpl.rc_context(STYLE)
def audio_features(
    waveform: np.ndarray, rate: int, features: np.ndarray, *, title: str, origin: str
) -> Figure:
    """The sound of one clip above its features [steps, channels] over time, each channel standardised.

    Channels that move together stand together: sorted by their weight in the first principal component.
    """
    figure, (above, below) = blank(
        title,
        origin=origin,
        rows=2,
        size=(2 * COLUMN, 2.6),
        sharex=True,
        gridspec_kw={"height_ratios": [1, 2]},
    )
    seconds = len(waveform) / rate
    every = max(1, len(waveform) // 4000)
    above.plot(np.arange(0, len(waveform), every) / rate, waveform[::every], color=OURS, lw=0.4)
    above.set(ylabel="sound")
    standard = (features - features.mean(0)) / np.maximum(features.std(0), 1e-6)
    standard = standard[:, np.argsort(np.linalg.svd(standard, full_matrices=False)[2][0])]
    standard = np.stack(
        [part.mean(1) for part in np.array_split(standard, min(96, standard.shape[1]), axis=1)],
        axis=1,
    )  # as fine as print
    image = below.imshow(
        standard.T,
        aspect="auto",
        cmap="RdBu_r",
        vmin=-2.5,
        vmax=2.5,
        extent=(0, seconds, features.shape[1], 0),
        interpolation="none",
    )
    below.set(xlabel="time, s", ylabel="channel, sorted")
    below.grid(visible=False)
    figure.colorbar(image, ax=below, label="standard deviations", fraction=0.03)
    return figure


def _class_ticks(axis: Axes) -> None:
    axis.set_xticks(
        range(NUM_CLASSES), EXPRESSIONS, rotation=35, ha="right", rotation_mode="anchor"
    )


def _short(count: int) -> str:
    """``12345`` as ``12k``, so that it fits its cell."""
    return str(count) if count < 10_000 else f"{count / 1000:.0f}k"
