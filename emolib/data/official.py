"""The official release in numbers (docs/data.md, Size)."""

from typing import Any

# Clips, annotated frames, those of them with a face, and their classes, per split.
OFFICIAL: dict[str, dict[str, Any]] = {
    "train": {
        "clips": 248,
        "labelled": 597_361,
        "with_face": 585_317,
        "classes": [177198, 16573, 10771, 9080, 95463, 78751, 31615, 165866],
    },
    "validation": {
        "clips": 70,
        "labelled": 284_230,
        "with_face": 280_532,
        "classes": [82258, 6126, 5296, 8408, 34511, 25157, 12332, 106444],
    },
    "test": {"clips": 228},
}
FACE_SHARES = {
    split: counts["with_face"] / counts["labelled"]
    for split, counts in OFFICIAL.items()
    if "labelled" in counts
}
