"""Choices of ``emolib predict``; quick to import, for the command line's help and completion."""

from emolib.labels import EXPRESSIONS

WHICH_FACES = {
    "tracked": "one person: the largest face until it is lost for a second, then the largest again",
    "largest": "the largest face of each frame, whoever it is",
    "all": "everybody: one row for each face in each frame",
    "whole": "the video is a face crop already: every frame is the face, nothing is detected",
}

# How often a window is judged (Experiment.frame_stride) and what lies between.
EVERY = (
    "A trained run judges a window every few frames (frame_stride in summary.json: 5 in the preset"
    " demo, 1 in the preset paper); a row between takes the answer of the window that ends nearest"
    " to it (frame_rule=last), or the mean of the windows that hold its frame (frame_rule=mean)."
    " Neighbouring rows share most of their frames, so they are not independent witnesses."
    " Of zero-shot, a row is one still frame."
)

# what a row of the table says
COLUMNS = {
    "frame": "number of the frame, from 1; every frame of the video has a row",
    "time": "seconds at which it begins to show, from the first frame",
    "picture": "the frame whose picture was looked at for this row: itself, or the last one before",
    "face": "whether any face was found in that picture",
    "track": "number of the person, followed from frame to frame; empty: not in this frame",
    "x": "left edge of the face, pixels from the picture's left",
    "y": "upper edge of the face, pixels from the picture's top",
    "w": "width of the face, pixels",
    "h": "height of the face, pixels",
    "score": "the detector's confidence in the face, 0 to 1",
    **{f"p_{name}": f"probability of {name}; empty: nothing is known" for name in EXPRESSIONS},
    "class": "the most probable emotion",
    "window_first": "first frame of the windows that the probabilities rest on; of zero-shot the"
    " row's own frame, or the first that --smooth averages",
    "window_last": "last frame of these windows; it may lie after the row's own",
    "copied": "true: the person was not yet there for a whole window; the row repeats the first"
    " answer",
    "modality": "what the window holds: face, voice or face+voice; digital silence is no voice",
    "weights": "pre-trained, or synthetic or random, whose emotions mean nothing on real people",
}

# templates of zero-shot prompts; of several, the mean of their text features is taken
PROMPT_SETS = {
    "paper": ("A face expressing {}",),
    "photo": ("a photo of a person whose face shows {}",),
    "ensemble": (
        "A face expressing {}",
        "a photo of a person whose face shows {}",
        "a person with an expression of {}",
        "a close-up of a face, {}",
    ),
}

ROTATIONS = (0, 90, 180, 270)  # degrees clockwise
