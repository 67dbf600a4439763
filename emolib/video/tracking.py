"""Follow each face from picture to picture, so that a person keeps one number."""

from dataclasses import dataclass, field

import numpy as np

from emolib.video.detection import Face, overlap
from emolib.video.recognition import Recogniser

LOST_AFTER = 1.0  # seconds without a match until a track ends
RECOGNISED_FOR = 20.0  # seconds in which another cut may bring back whom a cut took away
MOST_AWAY = 32  # people that are remembered so

Box = tuple[float, float, float, float]


@dataclass
class Tracker:
    """Gives each face the number of the person it belongs to: 1, 2, ... in order of appearance.

    A face continues the open track whose last box it overlaps most (intersection over union at
    least 0.3), else the nearest one of similar size whose centre is within half a face;
    a track without a match for a second ends. Where the picture is cut, or a face changes as no
    movement explains, its place counts for nothing: who is recognised keeps the number, everybody
    else gets a new one.
    """

    lost_after: float = LOST_AFTER
    count: int = 0
    recogniser: Recogniser = field(default_factory=Recogniser)
    open: dict[int, tuple[float, Box]] = field(default_factory=dict)  # id -> (last seen, box)
    away: dict[int, float] = field(default_factory=dict)  # id -> last seen; ended by a cut

    def update(
        self,
        time: float,
        faces: list[Face],
        crops: list[np.ndarray] | None = None,
        *,
        is_cut: bool = False,
    ) -> list[int]:
        """The track number of each of ``faces``, seen at ``time`` seconds;
        times must not decrease.

        ``crops``: the faces cut out; without them only their places decide.
        ``is_cut``: the shot begins with this picture.
        """
        self._end_tracks(time, is_cut=is_cut)
        numbers = self._by_place(faces, crops)
        for i, face in enumerate(faces):
            if i not in numbers:
                numbers[i] = self._by_look(crops[i], numbers) if crops else self._new()
            self.away.pop(numbers[i], None)
            self.open[numbers[i]] = (time, face.box)
            if crops:
                self.recogniser.remember(numbers[i], crops[i])
        return [numbers[i] for i in range(len(faces))]

    def _end_tracks(self, time: float, *, is_cut: bool) -> None:
        for number, (seen, _) in list(self.open.items()):
            if time - seen > self.lost_after:
                del self.open[number]
                self.recogniser.forget(number)
            elif is_cut:
                self._take_away(number)
        too_many = sorted(self.away, key=lambda number: -self.away[number])[MOST_AWAY:]
        for number, seen in list(self.away.items()):
            if time - seen > RECOGNISED_FOR or number in too_many:
                del self.away[number]
                self.recogniser.forget(number)

    def _take_away(self, number: int) -> None:
        """The place of the track ``number`` counts for nothing any more."""
        seen, _ = self.open.pop(number)
        if number in self.recogniser.newest:
            self.away[number] = seen

    def _by_place(self, faces: list[Face], crops: list[np.ndarray] | None) -> dict[int, int]:
        """face -> number, of those that go on where a track was."""
        pairs = [
            (_likeness(box, face), number, i)
            for number, (_, box) in self.open.items()
            for i, face in enumerate(faces)
        ]
        numbers: dict[int, int] = {}
        for likeness, number, i in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
            if likeness <= 0 or i in numbers or number in numbers.values():
                continue
            if number not in self.open:
                continue
            if crops and self.recogniser.has_jumped(number, crops[i]):
                self._take_away(number)
            else:
                numbers[i] = number
        return numbers

    def _by_look(self, crop: np.ndarray, taken: dict[int, int]) -> int:
        """The number of the person recognised among those whom a cut took away, else a new one."""
        distances = {
            number: self.recogniser.distance(number, crop)
            for number in self.away
            if number not in taken.values()
        }
        best = min(distances, key=lambda number: distances[number], default=0)
        return best if distances.get(best, np.inf) < np.inf else self._new()

    def _new(self) -> int:
        self.count += 1
        return self.count


def _likeness(box: Box, face: Face) -> float:
    """How surely ``face`` goes on where ``box`` was: 1 + overlap, or 1 - distance of the centres in
    faces, or 0 for not at all.
    """
    before = Face(box=box, points=face.points, score=0.0)
    common = overlap(before, face)
    if common >= 0.3:
        return 1 + common
    sizes = sorted([before.area**0.5, face.area**0.5])
    a, b = np.array(before.box), np.array(face.box)
    apart = float(np.hypot(*(a[:2] + a[2:] / 2 - b[:2] - b[2:] / 2))) / sizes[1]
    return 1 - apart if apart < 0.5 and sizes[1] < 2 * sizes[0] else 0.0
