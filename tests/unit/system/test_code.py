"""The hash of code: what does nothing leaves it, what does something moves it."""

import pytest

from emolib.errors import EmolibError
from emolib.system.code import code_hash, files_of

SOURCE = '''
"""A module."""
import torch

class Block(torch.nn.Module):
    """A block."""

    def forward(self, x, scale=2.0):
        """x twice."""
        return self.layer(x) * scale  # as the paper has it
'''
SAME = {
    "comments": SOURCE.replace("# as the paper has it", "# otherwise"),
    "docstrings": SOURCE.replace('"""x twice."""', '"""Another text."""'),
    "no docstring": SOURCE.replace('        """x twice."""\n', "").replace('"""A block."""', ""),
    "layout": SOURCE.replace(
        "self, x, scale=2.0", "\n        self,\n        x,\n        scale=2.0,\n    "
    ),
    "brackets": SOURCE.replace("self.layer(x) * scale", "(self.layer(x)) * scale"),
    "quotes and blank lines": SOURCE.replace('"""A block."""', "'A block.'\n\n\n"),
}
OTHER = {
    "operator": SOURCE.replace("* scale", "+ scale"),
    "constant": SOURCE.replace("2.0", "2.5"),
    "type of a constant": SOURCE.replace("2.0", "2"),
    "name": SOURCE.replace("self.layer", "self.layers"),
    "order": SOURCE.replace("self, x, scale=2.0", "x, self, scale=2.0"),
    "base class": SOURCE.replace("torch.nn.Module", "torch.nn.Identity"),
    "statement": SOURCE.replace("        return", "        x = x.relu()\n        return"),
    "text that is used": SOURCE.replace('"""x twice."""', 'print("x twice.")'),
}


@pytest.mark.parametrize("source", SAME.values(), ids=SAME)
def test_what_does_nothing_leaves_the_hash(source):
    assert source != SOURCE and code_hash([source]) == code_hash([SOURCE])


@pytest.mark.parametrize("source", OTHER.values(), ids=OTHER)
def test_what_does_something_moves_the_hash(source):
    assert source != SOURCE and code_hash([source]) != code_hash([SOURCE])


def test_constants_are_told_apart():
    values = ["None", "0", "False", "''", "'0'", "0.0", "b''", "...", "[]", "()", "{}"]
    assert len({code_hash([f"x = {value}"]) for value in values}) == len(values)


def test_every_module_counts_in_its_place():
    assert code_hash(["x = 1", "y = 2"]) != code_hash(["y = 2", "x = 1"]) != code_hash(["x = 1"])


def test_sources_are_found_by_name_and_a_missing_one_is_named():
    assert "class TemporalBlock" in files_of(["emolib.tcn"])[0].read_text()
    for name in ("emolib.nothing", "emolib.tcn.nothing", "sys"):
        with pytest.raises(EmolibError, match=name):
            files_of([name])
