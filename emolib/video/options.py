"""Choices of ``emolib predict``; quick to import, for the command line's help and completion."""

from emolib.labels import EXPRESSIONS

WHICH_FACES = {
    "tracked": "one person: the largest face until it is lost for a second, then the largest again",
    "largest": "the largest face of each frame, whoever it is",
    "all": "everybody: one row for each face in each frame",
    "whole": "the video is a face crop already: every frame is the face, nothing is detected",
}

# what a row of the table says
COLUMNS = {
    "frame": "number of the frame, from 1; every frame of the video has a row",
    "time": "seconds at which it begins to show, from the first frame",
    "picture": "the frame whose picture was looked at for it: itself, or the last one before",
    "face": "whether any face was found in that picture",
    "track": "number of the person; empty: the row's person is not there",
    "x": "left edge of the face, pixels",
    "y": "its upper edge",
    "w": "its width",
    "h": "its height",
    "score": "the detector's confidence in the face, 0 to 1",
    **{f"p_{name}": f"probability of {name}; empty: nothing is known" for name in EXPRESSIONS},
    "class": "the most probable one",
    "window_first": "first frame of the window that the probabilities rest on",
    "window_last": "its last frame; with one stride between windows it may lie after the row's own",
    "copied": "the person was not yet there for a whole window: the row repeats the first answer",
    "modality": "what the window holds: face, voice or face+voice; digital silence is no voice",
    "weights": "pre-trained; synthetic and random weights mean nothing on real people",
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
