"""Damaged input of every kind: it is named, made anew, or means what it meant before.

Fixed seeds. The short form has 500 inputs, the long one 10,000. No input may end in another error
than the package's own, take ten seconds, or be accepted with other numbers than before.
"""

import os
import shutil
import time
import warnings
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
import torch

from emolib.config import parse_settings, preset
from emolib.data.annotations import read_labels, read_template
from emolib.data.content import content_of_images
from emolib.data.doctor import examine
from emolib.data.index import TreeIndex
from emolib.encoders.clip import VisualEncoder
from emolib.encoders.wav2vec2 import AudioEncoder
from emolib.errors import EmolibError, WrongCall
from emolib.evaluation.identity import LOADED, Identity
from emolib.evaluation.predictions import predict_windows
from emolib.features.prepare import Data, clips_of
from emolib.features.store import FeatureStore
from emolib.features.waveforms import waveform
from emolib.results.stored_predictions import by_clip
from emolib.system.files import cache_root, read_json
from emolib.training import run as training
from emolib.training import sweep
from emolib.training.fit import fit
from tests.support.damage import OTHER_RECORDS, damaged, with_flipped_bit
from tests.support.small_encoders import OPEN_CLIP, open_clip_model, save_open_clip, wav2vec
from tests.support.trees import clean, make_tree, write_video
from tests.support.windowsets import make, prompts, tiny

TODAY = Identity(LOADED, "of-memory", "of-none")


def inputs(short, long):
    """How many inputs a test takes: in the ordinary run, and in the long form."""
    return pytest.mark.parametrize("count", [short, pytest.param(long, marks=pytest.mark.slow)])


@contextmanager
def in_time():
    begun = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    assert time.monotonic() - begun < 60, "ten seconds of an idle machine"


def accepted(read):
    """What ``read`` gives, or None where it refuses."""
    try:
        with in_time():
            return read()
    except EmolibError as error:
        assert str(error) and "\n" not in str(error)
        return None


pytestmark = pytest.mark.usefixtures("empty_runs")


@inputs(80, 2500)
def test_annotations(tmp_path, count):
    """A label is the number on its line, or the file is refused."""
    make_tree(tmp_path, clean(), videos=False)
    whole = next(tmp_path.glob("*/Train_Set/*.txt")).read_bytes()
    rng, path, read = np.random.default_rng(1), tmp_path / "labels.txt", 0
    for _ in range(count):
        path.write_bytes(damaged(whole, rng, text=True))
        labels = accepted(lambda: read_labels(path))
        if labels is not None:
            header, *lines = path.read_text("utf-8-sig").rstrip().split("\n")
            assert header.lower().replace(" ", "").startswith("neutral,anger,disgust,fear,happi")
            assert labels.tolist() == [int(line) for line in lines]
            read += 1
    assert read > count / 10, "an edit that leaves a valid file is read"


@inputs(60, 2000)
def test_templates(tmp_path, count):
    make_tree(tmp_path, clean(), videos=False)
    whole = (tmp_path / "ABAW_Expr_test_set_example.txt").read_bytes()
    rng, path, read = np.random.default_rng(2), tmp_path / "template.txt", 0
    for _ in range(count):
        path.write_bytes(damaged(whole, rng, text=True))
        template = accepted(lambda: read_template(path))
        if template is not None:
            rows = [line.split(",")[0].strip() for line in path.read_text().rstrip().split("\n")]
            assert template.rows == rows[1:] and len(set(rows)) == len(rows)
            at = list(zip(template.clip.tolist(), template.frame.tolist(), strict=True))
            named = [f"{template.ids[clip]}/{frame:05d}.jpg" for clip, frame in at]
            assert named == template.rows
            read += 1
    assert read > count / 20


PARTS = (
    "epochs=3", "seeds=42,43", "seeds=42;43", "data=x", "weights=", "preset=paper", "width=", "=",
    "learning_rate=nan", "learning_rate=inf", "epochs=-1", ",", "window=10=3", "fusion=concat",
    "fusion=none", "amp=BF16", "standardise=yes", "standardise=true", "clip_norm=1e-3", "seed=0x10",
    "timing=true", "Ünicode=1", "stride=1e3", "stride=٣", "batch_size=9999999999999999999999", " ",
    "windows=10,10", "a b",
)  # fmt: skip


@inputs(150, 3000)
def test_settings(count):
    """A text is refused as a wrong call, or every value is the one that stands there."""
    rng, taken = np.random.default_rng(3), 0
    for _ in range(count):
        text = ",".join(rng.choice(PARTS, rng.integers(1, 4)))
        if rng.random() < 0.3:
            text = damaged(text.encode(), rng).decode("utf-8", "replace") if text else text
        try:
            experiment = preset("demo", **parse_settings(text))
        except WrongCall as error:
            assert str(error)
            continue
        taken += 1
        for name, value in parse_settings(text).items():
            assert getattr(experiment, name) == value
            written = text.split(f"{name}=")[-1].split(",")[0].strip().lower()
            assert str(value).lower().startswith(written) or float(value) == float(written)
    assert taken > count / 20


def change_tree(root, rng):
    """One entry of the tree removed, renamed, doubled, emptied, or put where another is."""
    entries = sorted(path for path in root.rglob("*"))
    path, other = (entries[i] for i in rng.integers(len(entries), size=2))
    kind = rng.integers(6)
    if kind == 0:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    elif kind == 1:
        other = path.with_name(str(rng.choice(["x", "00000.jpg", "_prompts", ".a", "1_left"])))
        if not os.path.lexists(other):
            path.rename(other)
    elif kind == 2 and path.is_dir():
        shutil.copytree(path, path.with_name(path.name + "_copy"), dirs_exist_ok=True)
    elif kind == 3 and path.is_file():
        path.write_bytes(b"")
    elif kind == 4 and path.is_file() and other.is_file():
        shutil.copyfile(other, path) if path != other else None
    elif not os.path.lexists(link := path.with_name(path.name + ".link")):
        link.symlink_to(other)


def read_as_it_is(root):
    return clips_of(preset("demo", data=str(root)), progress=False)


@inputs(25, 700)
def test_trees(tmp_path, count):
    """What the reader refuses the doctor calls an error."""
    whole, rng = make_tree(tmp_path / "whole", clean(), videos=False), np.random.default_rng(4)
    for number in range(count):
        root = tmp_path / str(number)
        shutil.copytree(whole, root)
        for _ in range(rng.integers(1, 3)):
            change_tree(root, rng)
        clips = accepted(lambda root=root: read_as_it_is(root))
        with in_time():
            report = examine(root, progress=False)
        assert clips is not None or not report["exit_ok"], "the reader stops and doctor is content"
        shutil.rmtree(root)


@pytest.fixture(scope="module")
def run(module_path):
    """A finished run, and what its files say."""
    folder, (text, scale) = module_path / "run", prompts()
    windows = make(seed=1)
    data = Data(make(), windows, [windows], text, scale)
    training.claim(tiny(), folder, TODAY)
    training.train_and_evaluate(tiny(), data, folder, progress=False)
    return folder, told(folder, windows), windows


def told(folder, windows):
    """Everything that is said of a run, read anew."""
    model, experiment = training.load_model(folder)
    predicted = predict_windows(model, windows)
    finished = training.claim(tiny(), folder, TODAY)
    training._check_history(folder, finished)
    return {
        "experiment": vars(experiment),
        "predicted": predicted.tobytes(),
        "metrics": finished,
        "history": pd.read_csv(folder / "history.csv").to_json(),
        "provenance": read_json(folder / "provenance.json"),
        "predictions": {clip: rows.to_json() for clip, rows in by_clip(folder).items()},
    }


def says_the_same(found, whole):
    """Every value is as it was; a name that nobody knows may have come in the place of a seal."""
    if isinstance(whole, dict):
        return all(name in found and says_the_same(found[name], whole[name]) for name in whole)
    return found == whole


@inputs(110, 1200)
def test_run_folders(tmp_path, run, count):
    folder, whole, windows = run
    rng, refused = np.random.default_rng(5), 0
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    files = [path for path in files if path.name not in ("state.pt", ".lock")]
    copy = tmp_path / "run"
    for number in range(count):
        shutil.copytree(folder, copy)
        hit = copy / files[number % len(files)]
        hit.write_bytes(damaged(hit.read_bytes(), rng, text=hit.suffix == ".csv"))
        found = accepted(lambda: told(copy, windows))
        assert found is None or says_the_same(found, whole), hit.name
        refused += found is None
        shutil.rmtree(copy)
    assert refused > 0.8 * count


@pytest.mark.parametrize("place", ["weights", "header"])
def test_a_flipped_bit_of_the_model_is_named(tmp_path, run, place):
    """A model with one other number would predict all the same."""
    content = (run[0] / "model.safetensors").read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    places = slice(0, header) if place == "header" else slice(header, len(content))
    rng = np.random.default_rng(9)
    shutil.copytree(run[0], tmp_path / "run")
    for _ in range(20):
        parts = [content[:header], content[header:]]
        parts[place == "weights"] = with_flipped_bit(content[places], rng)
        (tmp_path / "run" / "model.safetensors").write_bytes(b"".join(parts))
        with pytest.raises(EmolibError, match=r"model\.safetensors: "):
            training.load_model(tmp_path / "run")


@pytest.mark.parametrize("content", OTHER_RECORDS)
@pytest.mark.parametrize("name", ["metrics.json", "experiment.json"])
def test_a_record_of_another_form_is_refused_by_all_who_read_it(tmp_path, run, name, content):
    """Lists where values by name should be, records of another version, fields that are missing."""
    folder, _, windows = run
    shutil.copytree(folder, tmp_path / "sweep" / "run")
    copy = tmp_path / "sweep" / "run"
    (copy / name).write_text(content)
    readers = {"metrics.json": (by_clip, lambda _: sweep._row(tiny(), copy, ""))}
    for read in (lambda _: told(copy, windows), *readers.get(name, ())):
        with pytest.raises(EmolibError, match=name):
            read(copy)


@inputs(25, 300)
def test_states(tmp_path, run, count):
    """A state that is damaged is named; one that is read trains on to the same bits."""
    folder, _, windows = run
    content, rng, refused = (folder / "state.pt").read_bytes(), np.random.default_rng(6), 0
    expected = torch.load(folder / "state.pt", weights_only=True)["best"]
    for _ in range(count):
        (tmp_path / "state.pt").write_bytes(damaged(content, rng))
        fitted = accepted(
            lambda: fit(tiny(), make(), windows, *prompts(), tmp_path, progress=False)
        )
        if fitted is not None and len(fitted.history) == tiny().epochs:
            assert all(torch.equal(v, expected[k]) for k, v in fitted.model.state_dict().items())
        refused += fitted is None
    assert refused > 0.8 * count


@inputs(40, 300)
def test_caches(tmp_path, count):
    """Waveforms, features, the index of a tree and records of content are made anew."""
    video = tmp_path / "a.mp4"
    write_video(video, 10, 25.0)
    root = make_tree(tmp_path / "tree", clean(), videos=False)
    images = next((root / "cropped_aligned").iterdir())
    store = FeatureStore("visual", {"a": 1}, {"b": 2})
    tensors = {"visual": np.random.default_rng(0).normal(size=(5, 8)).astype(np.float16)}

    def features():
        if store.read("clip", "source") is None:
            store.write("clip", "source", tensors)
        stored = store.read("clip", "source")
        return {name: array.tobytes() for name, array in stored.items()}

    def faces():
        index = TreeIndex(root)
        index.faces(images)
        index.save()
        return index.faces(images).tobytes()

    def sound():
        return np.asarray(waveform(video)).tobytes()

    reads = [features, faces, sound, lambda: content_of_images(images)]
    past = time.time() - 60
    for path in [*root.rglob("*"), root, video]:
        os.utime(path, (past, past))
    whole = [read() for read in reads]
    rng = np.random.default_rng(7)
    for _ in range(count):
        files = sorted(path for path in cache_root().rglob("*") if path.is_file())
        hit = files[rng.integers(len(files))]
        hit.write_bytes(damaged(hit.read_bytes() or b" ", rng))
        assert [accepted(read) for read in reads] == whole, hit.name


def test_an_index_of_an_unknown_compression_is_made_anew(tmp_path):
    root = make_tree(tmp_path / "tree", clean(), videos=False)
    index = TreeIndex(root)
    index.changed = True
    index.save()
    content = bytearray(index.path.read_bytes())
    content[content.index(b"PK\x01\x02") + 11] = 8  # the high byte of an entry's method
    index.path.write_bytes(content)
    assert TreeIndex(root).faces_of == {}


@inputs(10, 250)
def test_weights(tmp_path, count):
    """Damaged weights are refused, or are known as other weights, whose features are their own."""
    model = open_clip_model()
    save_open_clip(model, tmp_path / "whole", OPEN_CLIP, "open_clip_model.safetensors")
    wav2vec(tmp_path / "sound")
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8))
    wave = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 4000)).astype(np.float32))

    def seen(folder):
        encoder = VisualEncoder(folder)
        return encoder.images(image).numpy().tobytes(), encoder.identity

    def heard(folder):
        encoder = AudioEncoder(folder)
        return encoder.waveforms(wave).numpy().tobytes(), encoder.identity

    rng, refused = np.random.default_rng(8), 0
    for number in range(count):
        source, read = [("whole", seen), ("sound", heard)][number % 2]
        shutil.copytree(tmp_path / source, tmp_path / "copy")
        files = sorted((tmp_path / "copy").iterdir())
        hit = files[rng.integers(len(files))]
        hit.write_bytes(damaged(hit.read_bytes(), rng))
        found = accepted(lambda read=read: read(tmp_path / "copy"))
        whole = read(tmp_path / source)
        assert found is None or found == whole or found[1] != whole[1], hit.name
        refused += found is None
        shutil.rmtree(tmp_path / "copy")
    assert refused > count / 10
