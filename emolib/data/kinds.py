"""What ``emolib doctor`` can find, by name: how bad it is and what to do about it.

Three severities. ``error``: training on the tree would stop or give wrong numbers. ``warning``:
something is absent or unusual, what is left is used correctly. ``note``: normal for Aff-Wild2 and
handled, told because other code stumbles.
"""

# All settings that a run without pictures needs beside its preset and its data set.
SOUND_ALONE = "modalities=audio,fusion=concat,contrastive_weight=0"

# kind -> (severity, what to do)
KINDS: dict[str, tuple[str, str]] = {
    "not-a-tree": ("error", "give the folder that holds the annotations and the crops"),
    "link-out": ("error", "put the files inside the tree"),
    "empty-file": ("error", "download the annotation again"),
    "unreadable-file": ("error", "download the annotation again"),
    "header": ("error", "download the annotation again"),
    "header-order": ("error", "download the annotation again; its numbers may mean other classes"),
    "label-range": ("error", "correct the line or download the annotation again"),
    "label-not-a-number": ("error", "correct the line or download the annotation again"),
    "id-in-both-splits": ("error", "remove the annotation from one split"),
    "id-in-test-too": ("error", "remove the id from the test list or its annotation"),
    "shared-source": ("error", "move both people of the video to one split; they share the sound"),
    "shared-video": ("error", "remove one of the two; the same video stands in two splits"),
    "video-unreadable": ("error", "download the video again, or remove it to go without sound"),
    "frame-count-far": (
        "error",
        "check that the video belongs to the annotation; labels and sound do not match",
    ),
    "images-beyond-labels": (
        "error",
        "check that the crops belong to the annotation; labels and images do not match",
    ),
    "images-from-zero": ("error", "number the images from 00001.jpg; every label is one frame off"),
    "image-names": (
        "error",
        "name the images {frame:05d}.jpg; as they are they count as missing faces",
    ),
    "image-unreadable": (
        "error",
        "download the image again, or delete it to count as a missing face",
    ),
    "frame-rates": ("error", "correct the line of frame_rates.csv"),
    "test-files": ("error", "download the test list and the template again"),
    "nothing-to-use": (
        "error",
        "look whether the crops and the videos were unpacked where they belong, "
        "not a folder deeper",
    ),
    "totals-far": ("error", "complete the tree; scores on it cannot be compared"),
    "totals": ("warning", "compare with the official release; a little is missing or added"),
    "two-candidates": ("error", "keep one of the two; which one counts would be a guess"),
    "no-images": ("error", "download the clip's crops, or go on with --set min_face_share=0"),
    "images-end-early": (
        "error",
        "download the clip's crops again, or go on with --set min_face_share=0",
    ),
    "few-faces": (
        "error",
        "check that the clip's crops are complete, or go on with --set min_face_share=0",
    ),
    "split-few-faces": (
        "error",
        "check that all crops were unpacked where they belong; the reader stops at such a split",
    ),
    "nothing-annotated": ("warning", "nothing to learn or to score in this clip"),
    "no-video": ("warning", "download the video, or go on without the clip's sound"),
    "no-sound": ("warning", "the clip goes without sound"),
    "sound-shorter": ("warning", "windows after the end of the sound go without it"),
    "frame-count": ("warning", "the last frames' times are extrapolated or dropped"),
    "test-clips-differ": (
        "warning",
        "clips of either are predicted, the rows of the template written; download both again",
    ),
    "known-shared-source": ("note", "the official splits share this sound; nothing to do"),
    "older-annotation-folder": ("note", "nothing to do"),
    "byte-order-mark": ("note", "nothing to do"),
    "crlf": ("note", "nothing to do"),
    "line-count": ("note", "nothing to do; frames are matched by number, times by the video"),
    "unpaired-images": (
        "note",
        "nothing to do; these crops have no EXPR annotation and are not used",
    ),
    "unpaired-videos": (
        "note",
        "nothing to do; these videos have no EXPR annotation and are not used",
    ),
}

# Kinds that only collections of acted recordings have.
RECORDING_KINDS: dict[str, tuple[str, str]] = {
    "git-lfs": ("error", "run `git lfs pull` in the clone that the file comes from"),
    "published-totals": (
        "warning",
        "complete the download to compare scores with published ones; a part can be trained on",
    ),
    "no-crops": (
        "warning",
        f"cut the faces out once (emolib crop), or take the sound alone: --set {SOUND_ALONE}",
    ),
    "sound-alone": ("note", "emolib crop is not needed"),
    "known-broken": ("note", "nothing to do"),
}
