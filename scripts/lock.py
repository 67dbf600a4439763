"""Write requirements.lock: the versions installed here of everything pyproject.toml asks for,
directly or not.

Name and version only, so that the file holds on every platform and index. Left out are the CUDA
packages, which torch pins for itself on Linux and which exist nowhere else; pip resolves those.
"""

import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
CUDA = re.compile(r"nvidia-|cuda-|triton$")
HEADER = (
    "# What emolib is tested with: the closure of pyproject.toml's dependencies and extras. "
    "Rewritten by `make lock`.\n"
)


def wanted(extras: bool = True) -> list[Requirement]:
    """The requirements that pyproject.toml states, by default with all its extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"].values() if extras else ()
    stated = [*project["dependencies"], *(line for extra in optional for line in extra)]
    return [Requirement(line) for line in stated]


def closure(requirements: list[Requirement]) -> dict[str, str]:
    """Canonical name -> public version of every distribution that
    ``requirements`` need in this environment.

    Raises PackageNotFoundError for one that is not installed.
    """
    versions: dict[str, str] = {}
    seen = set()
    waiting = list(requirements)
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (name, *sorted(requirement.extras)) in seen or CUDA.match(name):
            continue
        seen.add((name, *sorted(requirement.extras)))
        found = distribution(name)
        versions[name] = Version(found.version).public
        for line in found.requires or []:
            needed = Requirement(line)
            if not needed.marker or any(
                needed.marker.evaluate({"extra": extra}) for extra in ("", *requirement.extras)
            ):
                waiting.append(needed)
    return dict(sorted(versions.items()))


if __name__ == "__main__":
    lines = [f"{name}=={version}\n" for name, version in closure(wanted()).items()]
    (ROOT / "requirements.lock").write_text(HEADER + "".join(lines))
    print(f"requirements.lock: {len(lines)} packages")
