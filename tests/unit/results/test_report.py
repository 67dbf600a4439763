"""The report from a small run folder: what it embeds, what it leaves out, and what it refuses."""

import base64
import itertools
import re
import shutil
from dataclasses import asdict

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat import v4

from emolib.config import preset
from emolib.errors import EmolibError, WrongCall
from emolib.evaluation.identity import at_hand
from emolib.results import report
from emolib.results.report.opening import best_window, kind
from emolib.system.files import project_root, read_json, write_json, write_text
from emolib.system.runs import writing

PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="
FIGURE = f'<img src="{PIXEL}" alt="A curve &amp; its <ceiling>" title="Curve (synthetic)">'
OUTSIDE = (
    '<img src="https://example.org/x.png" alt="from outside"><script '
    'src="https://example.org/x.js"></script>'
)
TABLE = (
    '<table border="1"><thead><tr><th></th><th>Class</th></tr></thead>'
    "<tbody><tr><th>0</th><td>Fear</td></tr></tbody></table>"
)


def outputs() -> list:
    bar = {
        "application/vnd.jupyter.widget-view+json": {"model_id": "1"},
        "text/plain": "runs: 0%| progress",
    }
    return [
        v4.new_output("display_data", {"text/html": FIGURE + OUTSIDE}),
        v4.new_output("display_data", bar),
        v4.new_output("execute_result", {"text/html": TABLE}, execution_count=1),
        v4.new_output(
            "stream",
            name="stdout",
            text="wrote /home/me/secret/run/x.csv and read /data/tree/of/mine, kept a/b, "
            "frames/s and https://a.org/b/c, not /gpfs/me/tree\n",
        ),
        v4.new_output("stream", name="stderr", text="a warning"),
    ]


def executed(path, title="4. How long?", **metadata):
    cells = [
        v4.new_markdown_cell(f"# {title}\n\nProse.\n\n## Part\n\nMore."),
        v4.new_code_cell("x = '/root/here/file'", outputs=outputs()),
    ]
    book = v4.new_notebook(
        cells=cells,
        metadata={"widgets": {"application/vnd.jupyter.widget-state+json": {}}, **metadata},
    )
    write_text(path, nbformat.writes(book))


def save(experiment, folder, **otherwise):
    """As a run of today notes what it is made by and from."""
    made = {**asdict(at_hand(experiment)), **otherwise}
    experiment.save(folder / "experiment.json", **made)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A finished run, as far as the report looks."""
    monkeypatch.setenv("EMOLIB_RUNS", str(tmp_path / "runs"))
    folder = tmp_path / "runs" / "mine"
    save(preset("demo", epochs=3), folder)
    write_json(
        folder / "metrics.json",
        {
            "origin": "synthetic",
            "experiment": "feed",
            "parameters": 1234567,
            "selection": "best",
            "best_epoch": 2,
            "frame": {"macro_f1": 0.912, "macro_f1_interval": [0.8, 0.95]},
        },
    )
    write_json(
        folder / "provenance.json",
        {
            "date": "2026-11-27",
            "emolib": "0.1.0",
            "git_commit": "c0ffee",
            "git_dirty": True,
            "python": "3.11",
            "platform": "Linux",
            "packages": {"torch": "2.15"},
            "device": "x86_64",
            "cores": 2,
            "threads": 2,
            "arithmetic": "bfloat16",
            "seed": 42,
            "wall_seconds": 12.3,
        },
    )
    write_json(folder / "summary.json", {"notebooks": {"05_window_ablation": {"seconds": 9.6}}})
    write_text(
        folder / "figures" / "window_table.csv",
        'Method,"Ours, synthetic"\nOurs (<10> frames),"0.8 [0.7, 0.9]"\n',
    )
    write_text(folder / "figures" / "window_table.md", "Macro-F1 by window\n\n| Method |\n")
    write_text(folder / "sweep" / "results.csv", "window,seed\n10,42\n10,43\n")
    executed(folder / "notebooks" / "05_window_ablation.ipynb", emolib={"key": "x"})
    executed(folder / "notebooks" / "06_stopped.ipynb", title="Stopped half-way")
    executed(
        folder / "notebooks" / "08_predict_your_video.ipynb",
        title="A film of mine",
        emolib={"key": "x"},
    )
    return folder


def test_the_page_is_whole_and_fetches_nothing(run):
    path = report.write(run)
    assert path == run / "report.html"
    assert [p.name for p in run.iterdir() if p.name.startswith(".")] == [".lock"], "no leftovers"
    text = path.read_text(encoding="utf-8")
    page = BeautifulSoup(text, "html.parser")
    assert "default-src 'none'" in page.find("meta", attrs={"http-equiv": True})["content"]
    assert page.find(["script", "link", "iframe"]) is None
    assert {image["src"] for image in page.find_all("img")} == {PIXEL}
    assert "from outside" in page.find("details").get_text()
    assert not re.search(r"url\(|@import|\bon\w+=", text)
    assert "progress" not in text and "a warning" not in text, "progress bars are noise"


def test_it_opens_with_the_day_three_sentences_and_the_curve(run):
    rows = [
        {
            "window": window,
            "protocol": protocol,
            "macro_f1": score,
            "seeds": 3,
            "values": [score] * 3,
        }
        for window, score in ((10, 0.5), (30, 0.9), (60, 0.7))
        for protocol in ("frame", "window")
    ]
    summary = read_json(run / "summary.json")
    write_json(run / "summary.json", {**summary, "window_table": rows})
    (run / "figures" / "window_curve.png").write_bytes(b"a picture")
    header = BeautifulSoup(report.write(run).read_text(encoding="utf-8"), "html.parser").header
    assert header.select_one(".date").get_text() == "Finished on 27 November 2026"
    text = header.select_one(".opening").get_text()
    assert len(re.split(r"(?<=\.) (?=[A-Z])", text)) == 3
    assert (
        "of 60 frames the model, trained in bfloat16, reaches a macro-F1 of 0.912 per frame" in text
    )
    assert "0.800 to 0.950" in text
    assert "30 frames score highest with 0.900 and 10 frames lowest with 0.500" in text
    assert "no scores on real faces" in text
    assert base64.b64decode(header.img["src"].split(",")[1]) == b"a picture"
    assert len(header.img["alt"]) > 20


def test_real_data_are_called_real_and_one_window_is_no_comparison():
    assert "on real data" in kind("") and "no scores on real faces" in kind("random weights")
    assert "not compared" in best_window([{"window": 60, "macro_f1": 0.9, "seeds": 1}])


def test_a_figure_opens_large_and_closes_again(run):
    page = BeautifulSoup(report.write(run).read_text(encoding="utf-8"), "html.parser")
    figures = page.select("#figures figure")
    assert figures
    for figure in figures:
        close, large = figure.find_all("a")
        assert large["href"] == f"#{figure['id']}" and large.img and close["href"] == "#figures"
    assert ":target" in page.style.get_text()


def test_headline_sheet_and_banner(run):
    page = BeautifulSoup(report.write(run).read_text(encoding="utf-8"), "html.parser")
    assert "Synthetic." in page.select_one("header .banner").get_text()
    headline = page.select_one("#results table")
    assert headline.caption.get_text() == "Macro-F1 by window"
    assert [cell.get_text() for cell in headline.find_all(["th", "td"])] == [
        "Method",
        "Ours, synthetic",
        "Ours (<10> frames)",
        "0.8 [0.7, 0.9]",
    ]
    sheet = {
        row.th.get_text(): row.td.get_text() for row in page.select("#reproducibility tbody tr")
    }
    assert sheet["Trained parameters"] == "1,234,567"
    assert sheet["Time of the main run"].startswith("12 s; a training that was stopped counts")
    assert "c0ffee with local changes" in sheet["Code"] and "2 in results" in sheet["Runs"]
    assert "best macro-F1" in sheet["Selection rule"] and "epoch 2 of 3" in sheet["Selection rule"]
    assert "42, 43, 44" in sheet["Seeds"] and "torch 2.15" in sheet["Versions"]
    rows = {
        row.th.get_text(): [cell.get_text() for cell in row.find_all("td")]
        for row in page.select("#settings tbody tr")
    }
    assert rows["epochs"][:2] == ["3", "30"] and rows["window"][:2] == ["60", "same"]


def test_a_run_that_was_made_otherwise_is_named_as_such(run):
    assert "Not current." not in report.write(run).read_text(encoding="utf-8")
    for otherwise, said in (
        ({"code": "another"}, "by other code"),
        ({"code": ""}, "by other code"),
        ({"encoders": "others"}, "with other weights"),
    ):
        save(preset("demo", epochs=3), run, **otherwise)
        page = BeautifulSoup(report.write(run).read_text(encoding="utf-8"), "html.parser")
        banner = page.select("header .banner")[-1].get_text()
        assert said in banner and "not this version's" in banner
        assert said in page.select_one("#reproducibility").get_text()


def test_tables_of_the_notebooks_follow_the_headline_where_there_are_any(run):
    notebooks = "".join(
        path.read_text(encoding="utf-8")
        for path in (project_root() / "notebooks").glob("[0-9]*.ipynb")
    )
    assert [name for name in report.TABLES if f'\\"{name}\\"' not in notebooks] == [], (
        "written by no notebook"
    )
    for name in ("test_table", "recipe_table"):
        write_text(run / "figures" / f"{name}.csv", f"Part,{name}\nx,1\n")
    page = BeautifulSoup(report.write(run).read_text(encoding="utf-8"), "html.parser")
    assert [tag.get_text() for tag in page.select("#results h3")] == ["Test set", "Stronger recipe"]


def test_structure_is_accessible(run):
    page = BeautifulSoup(report.write(run).read_text(encoding="utf-8"), "html.parser")
    assert (
        page.html["lang"] == "en"
        and len(page.find_all("h1")) == 1
        and page.find("main")
        and page.find("nav")["aria-label"]
    )
    levels = [int(tag.name[1]) for tag in page.find_all(re.compile("^h[1-6]$"))]
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels)), levels
    assert {tag["scope"] for tag in page.find_all("th")} == {"col", "row"} and all(
        tag.get_text() for tag in page.find_all("th")
    )
    assert (
        all(image["alt"] == "A curve & its <ceiling>" for image in page.find_all("img"))
        and len(page.find_all("img")) == 2
    )
    assert page.select_one("#figures figcaption").get_text() == "Curve (synthetic)"
    ids = [tag["id"] for tag in page.find_all(id=True)]
    assert len(ids) == len(set(ids)) and {link["href"][1:] for link in page.select("nav a")} <= set(
        ids
    )


def test_films_unfinished_notebooks_and_paths_stay_out(run):
    text = report.write(run).read_text(encoding="utf-8")
    assert (
        "A film of mine" not in text and "Stopped half-way" not in text and "4. How long?" in text
    )
    shown = BeautifulSoup(text, "html.parser").find("details").get_text()
    assert "wrote …/x.csv and read …/mine, kept a/b" in shown and "…/file" in shown
    assert not re.search("/home/me|/data/tree|/root/here|/gpfs/me", text) and str(run) not in text
    assert "kept a/b, frames/s and https://a.org/b/c, not …/tree" in text


def test_real_data_are_not_called_synthetic_and_their_folder_is_not_named(run):
    save(preset("demo", data="/home/me/private/Aff-Wild2"), run)
    write_json(
        run / "metrics.json",
        {
            "origin": "",
            "experiment": "x",
            "parameters": 1,
            "selection": "last",
            "best_epoch": 9,
            "frame": {"macro_f1": 0.3, "macro_f1_interval": [0.2, 0.4]},
        },
    )
    text = report.write(run).read_text(encoding="utf-8")
    banners = BeautifulSoup(text, "html.parser").select(".banner")
    assert len(banners) == 1 and "licence" in banners[0].get_text()
    assert "Aff-Wild2" in text and "private" not in text


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("metrics.json", {"frame": []}),
        ("metrics.json", {"frame": {"macro_f1": 0.9, "macro_f1_interval": [0.8]}}),
        ("summary.json", {"window_table": [[]]}),
        ("provenance.json", {"date": "yesterday"}),
        ("notebooks/05_window_ablation.ipynb", None),
    ],
)
def test_values_of_another_form_are_refused_by_name(run, name, changes):
    content = {**read_json(run / name), **changes} if changes else []
    write_json(run / name, content)
    with pytest.raises(EmolibError, match=rf"{name}: holds (values of another form|no values)"):
        report.write(run)
    assert not (run / "report.html").exists()


def test_an_unfinished_run_is_refused_with_a_remedy(run):
    (run / "figures" / "window_table.csv").unlink()
    (run / "metrics.json").unlink()
    message = (
        r"not finished \(metrics\.json, figures/window_table\.csv missing\); "
        r"`emolib run --preset demo --name mine` goes on"
    )
    with pytest.raises(EmolibError, match=message):
        report.write(run)
    assert not (run / "report.html").exists()


def test_a_training_alone_is_told_where_its_scores_are(run):
    shutil.rmtree(run / "notebooks")
    with pytest.raises(EmolibError, match=r"a training alone.* metrics\.json; .*another --name"):
        report.write(run)


@pytest.mark.parametrize(
    ("name", "field"), [(name, field) for name, fields in report.FIELDS.items() for field in fields]
)
def test_a_run_of_an_older_emolib_is_refused_with_a_remedy(run, name, field):
    content = read_json(run / name)
    del content[field]
    write_json(run / name, content)
    with pytest.raises(
        EmolibError,
        match=rf"{name}: written by another version of emolib, lacks {field}; "
        r".*`emolib run --preset demo",
    ):
        report.write(run)
    write_json(run / name, [])
    with pytest.raises(EmolibError, match="another version"):
        report.write(run)
    assert not (run / "report.html").exists()


def test_an_ablation_of_an_older_emolib_is_refused_with_a_remedy(run):
    for name in ("metrics", "provenance"):
        write_json(run / "sweep" / "a" / f"{name}.json", {})
    with pytest.raises(
        EmolibError, match=r"sweep/a/provenance.json: lacks wall_seconds: .*`emolib clean mine`"
    ):
        report.write(run)


def test_no_run_and_a_folder_as_target_are_wrong_calls(run, tmp_path):
    with pytest.raises(WrongCall, match="did you mean 'mine'"):
        report.write(run.parent / "mime")
    with pytest.raises(WrongCall, match="is a folder"):
        report.write(run, tmp_path)


def test_a_run_in_use_is_not_written_into(run, tmp_path):
    with writing(run):
        with pytest.raises(EmolibError, match="mine is in use by process"):
            report.write(run)
        assert not (run / "report.html").exists()
        assert report.write(run, tmp_path / "page.html").is_file(), "it only reads the run"
    assert report.write(run).is_file()


def test_an_old_page_is_replaced_whole(run, tmp_path):
    out = tmp_path / "deep" / "page.html"
    first = report.write(run, out).read_bytes()
    out.write_text("old")
    assert report.write(run, out).read_bytes() == first, "equal runs give equal pages"
