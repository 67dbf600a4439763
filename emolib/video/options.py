"""Choices of ``emolib predict``; quick to import, for the command line's help and completion."""

WHICH_FACES = {
    "tracked": "one person: the largest face until it is lost for a second, then the largest again",
    "largest": "the largest face of each frame, whoever it is",
    "all": "everybody: one row for each face in each frame",
    "whole": "the video is a face crop already: every frame is the face, nothing is detected",
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
