"""Published numbers, each with its source; never mixed with ours (FACTS section 2)."""

from emolib.labels import EXPRESSIONS

TITLE = "Multimodal Emotion Recognition via Bi-directional Cross-Attention and Temporal Modeling"
ARXIV = "2603.11971"

# Macro-F1 by window length; `None` is the challenge's VGGFace baseline.
VALIDATION_MACRO_F1 = {None: 0.2500, 10: 0.3265, 15: 0.3324, 30: 0.3670, 60: 0.3599}  # camera-ready table 1
TEST_MACRO_F1 = {None: 0.25, 10: 0.28, 15: 0.30, 30: 0.31, 60: 0.32}  # camera-ready table 2
V1_VALIDATION_MACRO_F1 = {None: 0.2500, 30: 0.3224, 60: 0.3334}  # arXiv v1 table 1
V1_VALIDATION_ACCURACY = {30: 0.4857, 60: 0.5371}  # arXiv v1 table 1
POSTER_MACRO_F1 = {"validation": 0.36, "test": 0.32}  # poster

TRAIN_RATIO = dict(zip(EXPRESSIONS, (0.2710, 0.0302, 0.0204, 0.0165, 0.1587, 0.1543, 0.0536, 0.2952), strict=True))  # poster
CLASS_F1 = dict(zip(EXPRESSIONS, (0.5521, 0.1119, 0.1846, 0.1078, 0.4917, 0.5183, 0.3314, 0.6382), strict=True))  # poster, T=30

# Frames with a face per class in Aff-Wild2's EXPR annotations (FACTS section 3).
TRAIN_FRAMES = dict(zip(EXPRESSIONS, (177198, 16573, 10771, 9080, 95463, 78751, 31615, 165866), strict=True))
VALIDATION_FRAMES = dict(zip(EXPRESSIONS, (82258, 6126, 5296, 8408, 34511, 25157, 12332, 106444), strict=True))
LABELLED_FRAMES = {"train": 597361, "validation": 284230}
VIDEOS = {"train": 248, "validation": 70, "test": 228}
TEST_ROWS = 1_022_655

# Peers on EXPR, validation macro-F1 per frame (FACTS section 2).
PEERS = {
    "EmotiEffNet-B0 + MLP": 0.384,
    "... + box smoothing, 50 frames": 0.424,
    "... + 0.3 wav2vec2": 0.434,
    "... tuned (ABAW8)": 0.449,
    "ABAW5 winner": 0.412,
    "DINOv2-L + wav2vec2-L gate (ABAW10)": 0.537,
    "always Other": 0.0688,
}
SMOOTHING = {0: 0.3844, 5: 0.4004, 15: 0.4123, 25: 0.4183, 50: 0.4237, 100: 0.4198, 200: 0.4197, 500: 0.4032}
HEAD_PARAMETERS = 12_863_240
