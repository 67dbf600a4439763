"""What the released code does wrong: the tree with its oddities is read without surprise."""

import warnings

import pytest

from emolib.config import preset
from emolib.studies import faults


def _rateless() -> None:
    warnings.warn("7-30: no video and no line in frame_rates.csv; assuming 30 fps", stacklevel=2)


def test_a_generated_clip_without_a_rate_is_not_warned_of(recwarn):
    with faults.oddities_expected(preset("demo")):
        _rateless()
    assert not recwarn


def test_a_real_clip_without_a_rate_is_and_other_warnings_are(tmp_path):
    real = preset("paper", data=str(tmp_path))
    with faults.oddities_expected(real), pytest.warns(UserWarning, match="assuming"):
        _rateless()
    with faults.oddities_expected(preset("demo")), pytest.warns(UserWarning, match="other"):
        warnings.warn("other", stacklevel=1)
