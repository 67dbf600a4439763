"""The generated benchmark: an Aff-Wild2 tree of drawn faces and voices whose
best possible scores are known.
"""

from emolib.data.mark import is_synthetic
from emolib.data.synthetic.export import export_tree
from emolib.data.synthetic.tree import (
    ceiling,
    ceilings,
    ensure,
    inputs_of,
    labels_of,
    place,
    write_tree,
)

__all__ = [
    "ceiling",
    "ceilings",
    "ensure",
    "export_tree",
    "inputs_of",
    "is_synthetic",
    "labels_of",
    "place",
    "write_tree",
]
