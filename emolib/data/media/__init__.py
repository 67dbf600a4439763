"""Video, sound and JPEG files to arrays and back, on true time.

Every time is in seconds on the video's own clock, 0 where its first frame begins to show; sound is
cut or padded to the same zero. Container timestamps are used as they are, so variable frame rates
and late sound tracks keep their place: an assumed 30 frames a second drifts by up to 143 s on
Aff-Wild2 (docs/data.md).
"""

from emolib.data.media.container import StreamReport, moving_pictures, opened, sound_track
from emolib.data.media.jpeg import decode_jpeg, read_jpeg
from emolib.data.media.pictures import frame_times, lazy_frames, read_frames
from emolib.data.media.sound import (
    SAMPLE_RATE,
    audible,
    read_waveform,
    sound_pieces,
    sound_seconds,
    stream_waveform,
)
from emolib.data.media.writing import write_video

__all__ = [
    "SAMPLE_RATE",
    "StreamReport",
    "audible",
    "decode_jpeg",
    "frame_times",
    "lazy_frames",
    "moving_pictures",
    "opened",
    "read_frames",
    "read_jpeg",
    "read_waveform",
    "sound_pieces",
    "sound_seconds",
    "sound_track",
    "stream_waveform",
    "write_video",
]
