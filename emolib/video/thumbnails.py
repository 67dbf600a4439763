"""A few face crops of a video for its timeline, whatever its length."""

from collections.abc import Container

import numpy as np

THUMBNAILS = 8  # at least so many crops are kept for the timeline, and at most twice as many


class Thumbnails:
    """Evenly spaced crops of a stream whose length is not known:
    every k-th, k doubling as it goes on.
    """

    def __init__(self) -> None:
        self.kept: list[tuple[float, np.ndarray]] = []
        self.step, self.seen = 1, 0

    def offer(self, time: float, cut: np.ndarray) -> None:
        if self.seen % self.step == 0:
            self.kept.append((time, cut))
            if len(self.kept) > 2 * THUMBNAILS:
                self.kept, self.step = self.kept[::2], 2 * self.step
        self.seen += 1


class Albums:
    """Thumbnails of everybody and of each track, a track's only as long as it may turn out to be
    the one seen longest.
    """

    def __init__(self) -> None:
        self.everybody = Thumbnails()
        self.tracks: dict[int, Thumbnails] = {}

    def offer(self, track: int, time: float, cut: np.ndarray, still_open: Container[int]) -> None:
        """``still_open``: the tracks that may be seen again;
        of the others only the longest is kept, or a crowd would fill the memory.
        """
        if track not in self.tracks:
            longest = max(self.tracks, key=lambda known: self.tracks[known].seen, default=track)
            self.tracks = {
                known: kept
                for known, kept in self.tracks.items()
                if known == longest or known in still_open
            }
            self.tracks[track] = Thumbnails()
        for album in (self.everybody, self.tracks[track]):
            album.offer(time, cut)

    def of(self, track: int | None) -> list[tuple[float, np.ndarray]]:
        """Those of ``track``; of everybody for None."""
        return (self.everybody if track is None else self.tracks[track]).kept
