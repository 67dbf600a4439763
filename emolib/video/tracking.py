"""Follow each face from frame to frame, so that a person keeps one number."""

from dataclasses import dataclass, field

import numpy as np

from emolib.video.detection import Face

LOST_AFTER = 1.0  # seconds without a match until a track ends


@dataclass
class Tracker:
    """Gives each face the number of the person it belongs to:
    1, 2, ... in order of appearance, never reused.

    A face continues the open track whose last box it overlaps most (intersection over union at
    least 0.3), else the nearest one of similar size whose centre is within half a face;
    a track without a match for a second ends.
    """

    lost_after: float = LOST_AFTER
    count: int = 0
    open: dict[int, tuple[float, tuple[float, float, float, float]]] = field(
        default_factory=dict
    )  # id -> (last seen, box)

    def update(self, time: float, faces: list[Face]) -> list[int]:
        """The track number of each of ``faces``, seen at ``time`` seconds;
        times must not decrease.
        """
        self.open = {
            track: seen for track, seen in self.open.items() if time - seen[0] <= self.lost_after
        }
        pairs = [
            (_likeness(seen[1], face.box), track, i)
            for track, seen in self.open.items()
            for i, face in enumerate(faces)
        ]
        numbers: dict[int, int] = {}
        for likeness, track, i in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
            if likeness > 0 and i not in numbers and track not in numbers.values():
                numbers[i] = track
        for i in range(len(faces)):
            if i not in numbers:
                self.count += 1
                numbers[i] = self.count
            self.open[numbers[i]] = (time, faces[i].box)
        return [numbers[i] for i in range(len(faces))]


def _likeness(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """How surely two boxes are one face: 1 + overlap, or 1 - distance of the centres in faces,
    or 0 for not at all.
    """
    across = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    down = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    common = max(across, 0.0) * max(down, 0.0)
    overlap = common / (a[2] * a[3] + b[2] * b[3] - common)
    if overlap >= 0.3:
        return 1 + overlap
    sizes = sorted([(a[2] * a[3]) ** 0.5, (b[2] * b[3]) ** 0.5])
    apart = (
        float(np.hypot(a[0] + a[2] / 2 - b[0] - b[2] / 2, a[1] + a[3] / 2 - b[1] - b[3] / 2))
        / sizes[1]
    )
    return 1 - apart if apart < 0.5 and sizes[1] < 2 * sizes[0] else 0.0
