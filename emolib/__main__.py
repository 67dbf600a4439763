"""``python -m emolib``."""

from emolib.cli import main

if (
    __name__ == "__main__"
):  # a process that the generator spawns imports this module under another name
    main()
