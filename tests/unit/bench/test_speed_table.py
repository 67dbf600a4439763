"""scripts/speed_table.py: a column for each machine that was measured at full size."""

import speed_table

from emolib.system.files import write_json


def test_every_machine_has_a_column_with_its_own_figures(tmp_path):
    step = {"T=10": {"step_ratio": 2.0}, "T=60": {"step_ratio": 7.06}}
    own = {"step": step, "device_name": "NVIDIA H200", "small": False}
    write_json(tmp_path / "nvidia-h200" / "train.json", own)
    write_json(tmp_path / "cpu" / "extract.json", {"extract_ratio": 3.5, "ingest_ratio": 17.1})
    write_json(tmp_path / "tried" / "train.json", own | {"small": True})
    speed_table.main(tmp_path)
    rows = (tmp_path / "speed.md").read_text().splitlines()
    header = next(row for row in rows if "Times faster" in row)
    assert "NVIDIA H200" in header and "2 CPU cores" in header and header.count("|") == 4
    cells = [part.strip() for part in next(row for row in rows if "60 frames |" in row).split("|")]
    assert cells[1:4] == ["training step, 60 frames", "–", "7.1"]
    assert any("faces through CLIP" in row and "3.5" in row for row in rows)
