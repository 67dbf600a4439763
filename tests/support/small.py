"""The long notebooks at a small size: settings under which every cell of theirs
runs within seconds.
"""

BENCHMARK = "synth_train_clips=24,synth_validation_clips=10,synth_test_clips=2,synth_seconds=5.0"
HARDER = BENCHMARK.replace(
    "train_clips=24", "train_clips=48"
)  # so that every class is there in spite of the imbalance
RUN = "window=10,windows=10,epochs=2,frame_stride=15,seeds=42"
SMALL = f"{BENCHMARK},{RUN}"
PARAMETERS = {  # of the notebooks that train many variants, by number
    "07": {"settings": SMALL, "chosen": "no_tcn"},
    "09": {"settings": SMALL, "chosen": "last_epoch,label_centre,listing"},
    "10": {"settings": f"{HARDER},{RUN}", "seeds": "42"},
    "12": {"settings": "epochs=1,width=16", "seeds": "42"},  # on $EMOLIB_RAVDESS
}
