"""Fill README.md's marked blocks from generated files: ``python scripts/readme.py``.

A block is ``<!-- path -->`` ... ``<!-- end -->``;
its content is the file at that path, word for word.
"""

import re
import sys
from pathlib import Path

from emolib.system.files import project_root, write_text

BLOCK = re.compile(r"<!-- (figures/[\w./-]+) -->\n.*?<!-- end -->", re.DOTALL)


def filled(text: str, root: Path) -> str:
    """``text`` with every block's content read anew."""

    def block(match: re.Match[str]) -> str:
        return (
            f"<!-- {match[1]} "
            f"-->\n\n{(root / match[1]).read_text(encoding='utf-8').strip()}\n\n<!-- end -->"
        )

    return BLOCK.sub(block, text)


if __name__ == "__main__":
    readme = project_root() / "README.md"
    text = readme.read_text(encoding="utf-8")
    new = filled(text, readme.parent)
    if new != text:
        write_text(readme, new)
    sys.exit(0)
