"""The house stands as CONTRIBUTING.md draws it: imports run down, no circle, small modules."""

import statistics
from pathlib import Path

import emolib
from tests.support.package import imported, modules

FLOORS = (  # from the ground up; rooms of one floor do not know each other
    {"labels", "errors"},
    {"system", "paper"},
    {"tcn", "fusion", "losses", "windows"},
    {"config"},
    {"model", "data", "encoders"},
    {"features"},
    {"evaluation"},
    {"training", "results"},
    {"video", "studies", "bench", "pipeline"},
    {"cli"},
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
DOORS = {"emolib", "emolib.__main__"}  # the package itself and `python -m emolib`
LINES, MEDIAN_LINES = 350, 150


def room(module: str) -> str:
    return module.split(".")[1]


def up_a_floor(imports: dict[str, set[str]]) -> list[str]:
    """Imports that lead neither into the own room nor into one below."""
    return [
        f"{module} imports {name}"
        for module, names in imports.items()
        for name in names - DOORS
        if room(name) != room(module) and FLOOR[room(name)] >= FLOOR[room(module)]
    ]


def circles(imports: dict[str, set[str]]) -> list[list[str]]:
    """Modules that reach themselves, each with the way."""

    def way(module: str, path: list[str]) -> list[str] | None:
        for name in sorted(imports.get(module, ())):
            if name == path[0]:
                return [*path, name]
            if name not in seen:
                seen.add(name)
                found = way(name, [*path, name])
                if found:
                    return found
        return None

    found = []
    for module in imports:
        seen: set[str] = set()
        found.append(way(module, [module]))
    return [path for path in found if path]


def imports_of_the_package() -> dict[str, set[str]]:
    return {module: imported(module) for module in modules() if module not in DOORS}


def test_every_module_is_in_a_room():
    assert [name for name in modules() if name not in DOORS and room(name) not in FLOOR] == []


def test_imports_run_down():
    assert up_a_floor(imports_of_the_package()) == []


def test_no_circle():
    assert circles(imports_of_the_package()) == []


def test_a_fault_of_the_house_would_be_found():
    assert up_a_floor({"emolib.config": {"emolib.model"}}) == ["emolib.config imports emolib.model"]
    assert up_a_floor({"emolib.data.clip": {"emolib.encoders.load"}}), "rooms of one floor"
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == [["b", "c", "b"], ["c", "b", "c"]]


def test_modules_are_small():
    lines = {name: len(path.read_text().splitlines()) for name, path in modules().items()}
    written = [count for count in lines.values() if count > 1]  # an empty room has a docstring
    large = {name: count for name, count in lines.items() if count > LINES}
    assert large == {}
    assert statistics.median(written) <= MEDIAN_LINES


def test_the_paper_is_read_in_four_short_files():
    """The model and its losses, as the paper has them; what is around them lies in the rooms."""
    core = [
        Path(emolib.__file__).parent / f"{name}.py" for name in ("tcn", "fusion", "losses", "model")
    ]
    texts = [path.read_text(encoding="utf-8") for path in core]
    assert sum(len(text.splitlines()) for text in texts) <= 400
    assert not any("autograd.Function" in text for text in texts)
