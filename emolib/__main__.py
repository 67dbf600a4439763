"""``python -m emolib``."""

from emolib.cli import main

# Not where a process that the generator spawns imports this module under another name.
if __name__ == "__main__":
    main()
