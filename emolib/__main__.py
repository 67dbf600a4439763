"""``python -m emolib``."""

from emolib.cli import main

main()
