"""Published numbers, each with its source; never mixed with ours (docs/method.md)."""

TITLE = "Multimodal Emotion Recognition via Bi-directional Cross-Attention and Temporal Modeling"
ARXIV = "2603.11971"

# Macro-F1 by window length in frames; `None` is the challenge's VGGFace baseline.
VALIDATION_MACRO_F1 = {  # camera-ready, table 1
    None: 0.2500,
    10: 0.3265,
    15: 0.3324,
    30: 0.3670,
    60: 0.3599,
}
TEST_MACRO_F1 = {None: 0.25, 10: 0.28, 15: 0.30, 30: 0.31, 60: 0.32}  # camera-ready, table 2
V1_VALIDATION_MACRO_F1 = {None: 0.2500, 30: 0.3224, 60: 0.3334}  # arXiv v1, table 1
V1_VALIDATION_ACCURACY = {30: 0.4857, 60: 0.5371}  # arXiv v1, table 1
POSTER_MACRO_F1 = {"validation": 0.36, "test": 0.32}  # poster; it names no window

# The poster's table by class: share of the training frames, and F1 on validation.
TRAIN_RATIO = {
    "Neutral": 0.2710,
    "Anger": 0.0302,
    "Disgust": 0.0204,
    "Fear": 0.0165,
    "Happiness": 0.1587,
    "Sadness": 0.1543,
    "Surprise": 0.0536,
    "Other": 0.2952,
}
CLASS_F1 = {
    "Neutral": 0.5521,
    "Anger": 0.1119,
    "Disgust": 0.1846,
    "Fear": 0.1078,
    "Happiness": 0.4917,
    "Sadness": 0.5183,
    "Surprise": 0.3314,
    "Other": 0.6382,
}
# The poster names no window for this table either.
# That it is T = 30 is an inference of ours, from its mean.
CLASS_TABLE_WINDOW = 30
CLASS_TABLE_SOURCE = (
    "poster, which names no window; its mean F1 of 0.3670 equals table 1's at T = "
    f"{CLASS_TABLE_WINDOW}"
)

# Frames with a face per class in Aff-Wild2's EXPR annotations (docs/data.md, Size).
TRAIN_FRAMES = {
    "Neutral": 177198,
    "Anger": 16573,
    "Disgust": 10771,
    "Fear": 9080,
    "Happiness": 95463,
    "Sadness": 78751,
    "Surprise": 31615,
    "Other": 165866,
}

# A peer's validation macro-F1 per frame by half-width of mean smoothing (docs/method.md, Peers).
SMOOTHING = {
    0: 0.3844,
    5: 0.4004,
    15: 0.4123,
    25: 0.4183,
    50: 0.4237,
    100: 0.4198,
    200: 0.4197,
    500: 0.4032,
}

# Other entries of ABAW10's EXPR task, validation macro-F1 per frame, by arXiv number.
PEER_MACRO_F1 = {"2603.12221": 0.5368, "2603.08034": 0.5029, "2603.12693": 0.474}
# Mean and standard deviation over the five folds of `emolib/data/folds.py`, of entry 2603.12221.
FIVE_FOLD_MACRO_F1 = (0.512, 0.028)
