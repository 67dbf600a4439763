"""Published numbers, each with its source; never mixed with ours (docs/method.md)."""

from emolib.labels import EXPRESSIONS

TITLE = "Multimodal Emotion Recognition via Bi-directional Cross-Attention and Temporal Modeling"
ARXIV = "2603.11971"

# Macro-F1 by window length; `None` is the challenge's VGGFace baseline.
VALIDATION_MACRO_F1 = {
    None: 0.2500,
    10: 0.3265,
    15: 0.3324,
    30: 0.3670,
    60: 0.3599,
}  # camera-ready table 1
TEST_MACRO_F1 = {None: 0.25, 10: 0.28, 15: 0.30, 30: 0.31, 60: 0.32}  # camera-ready table 2
V1_VALIDATION_MACRO_F1 = {None: 0.2500, 30: 0.3224, 60: 0.3334}  # arXiv v1 table 1
V1_VALIDATION_ACCURACY = {30: 0.4857, 60: 0.5371}  # arXiv v1 table 1
POSTER_MACRO_F1 = {"validation": 0.36, "test": 0.32}  # poster

TRAIN_RATIO = dict(
    zip(EXPRESSIONS, (0.2710, 0.0302, 0.0204, 0.0165, 0.1587, 0.1543, 0.0536, 0.2952), strict=True)
)  # poster
CLASS_F1 = dict(
    zip(EXPRESSIONS, (0.5521, 0.1119, 0.1846, 0.1078, 0.4917, 0.5183, 0.3314, 0.6382), strict=True)
)  # poster, T=30

# Frames with a face per class in Aff-Wild2's EXPR annotations (docs/data.md, Size).
TRAIN_FRAMES = dict(
    zip(EXPRESSIONS, (177198, 16573, 10771, 9080, 95463, 78751, 31615, 165866), strict=True)
)

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
