"""Names that clear a terminal, forge a line or run a script: nothing raw leaves any command or page."""

import re
import shutil

import h5py
import numpy as np
import pytest
from helpers.commands import command
from helpers.html_page import Parsed
from helpers.tiny import TINY
from PIL import Image

from dataset.formats.manifest import read_manifest
from runtime.json_files import write_json

pytestmark = pytest.mark.slow

SCRIPT = "<img src=x onerror=alert(1)></script><script>alert(1)<!--"
NAMES = [
    "\x1b[2J\x1b[31mred\nerror: forged",
    SCRIPT.replace("/", "\u2044"),
    "_hidden $\\frac{a}{b}$",
    "a\u202eb\u2028c\x7f\x9b",
    "tab\there, \"quoted\", 'q' & \\",
    "blank ",
    "blank",
    "zero\u200bwidth | #",
]


def checked(done, code=0):
    """The output of a command, of which no character is raw and no line is forged."""
    assert done.returncode == code, done.stderr[-2000:]
    for stream in (done.stdout, done.stderr):
        for line in stream.split("\n"):
            assert line.isprintable() or line == "", ascii(line)
            assert not line.startswith("error: forged")
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def harmless(file, scripts):
    """Checks a page: its own scripts only, and no other way to run one."""
    page = Parsed(file)
    assert len(page.all("script")) <= scripts
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    text = file.read_text(encoding="utf-8")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e\u200b]", text)
    assert all("alert(1)" not in part for part in re.findall(r"<script>(.*?)</script>", text, re.DOTALL))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A data set from folders with hostile names, and a trained and evaluated run in a folder with one."""
    root = tmp_path_factory.mktemp("hostile")
    random = np.random.default_rng(0)
    for name in NAMES:
        folder = root / "photos" / name
        folder.mkdir(parents=True)
        colour = random.integers(40, 216, 3)
        for number in range(4):
            pixels = np.clip(colour + random.integers(-40, 40, (20, 20, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"\x1b]0;{number}\x07\n\u202e.png")
    data = root / "data\n\x1b[1m"
    words = ("--images", root / "photos", "--out", data, "--name", "n\x1b[2J\n<script>")
    said = checked(command("-m", "dataset.prepare.folder", *words))
    assert r"\x1b[1m" in said
    assert "identities that look the same but are different: 'blank ', 'blank'" in said
    rows = (data / "test.csv").read_text(encoding="utf-8")
    manifest = read_manifest(data / "test.csv", root / "photos")
    assert len(manifest) == 16
    for name in ("query", "gallery"):
        (data / f"{name}.csv").write_text(rows, encoding="utf-8")
    shutil.copy(data / "test.csv", root / "list.csv")

    run = root / "run\x1b[2J\n<b>$x$"
    run.mkdir()
    params = {**TINY, "dataset": str(data), "batch_p": 3, "image_size": 16}
    write_json(run / "params.json", params)
    checked(command("train.py", "--model_dir", run))
    assert "\x1b" not in (run / "train.log").read_text(encoding="utf-8")
    checked(command("evaluate.py", "--model_dir", run, "--once"))
    return root, data, run


def test_messages_of_scripts(trained):
    root, _, run = trained
    for words in (
        ("train.py", "--model_dir", root / "no\x1b[2J\nerror: forged"),
        ("train.py", "--model_dir", run, "--set", "dataset=no\x1b[2J\nerror: forged"),
        ("train.py", "--model_dir", run, "--set", "\x1b[2Jx=1"),
        ("evaluate.py", "--model_dir", run, "--set", 'eval_sets=["\\u001b[2J"]'),
        ("visualize.py", "rankings", "--model_dir", run, "--eval_set", "\x1b[2J"),
        ("embed.py", "--model_dir", run, "--dataset", root / "\x1b[2J\n"),
        ("-m", "dataset.prepare.csv", "--test", root / "\x1b.csv", "--image_root", root, "--out", root / "o"),
        ("-m", "dataset.check", root / "no\x1b[2J"),
    ):
        said = checked(command(*words), code=2)
        assert said.count("error: ") - said.count("error: forged") == 1


def test_every_page_of_a_run(trained):
    root, _, run = trained
    out = root / "out\x1b[2J\n"
    out.mkdir()
    for name, more in (
        ("rankings", ()),
        ("analyze", ()),
        ("distances", ()),
        ("embedding", ("--method", "pca", "--highlight", "8")),
        ("attention", ()),
        ("data", ()),
        ("batches", ()),
    ):
        file = out / f"{name}.html"
        done = command("visualize.py", name, "--model_dir", run, "--out", file, *more)
        if done.returncode == 2 and "--highlight" in more:
            done = command("visualize.py", name, "--model_dir", run, "--out", file, *more[:2])
        checked(done)
        harmless(file, scripts=1)
    checked(command("visualize.py", "projector", "--model_dir", run, "--out", out / "projector"))
    lines = next((out / "projector").rglob("*.tsv")).read_text(encoding="utf-8").split("\n")
    assert len({line.count("\t") for line in lines if line}) == 1
    assert len(lines) >= 17
    checked(command("visualize.py", "hparams", "--parent_dir", root))


def test_embeddings_with_hostile_names(trained):
    root, data, run = trained
    for file in (root / "e\x1b.h5", root / "e\x1b.csv"):
        checked(command("embed.py", "--model_dir", run, "--dataset", data / "test.csv", "--filename", file))
    with h5py.File(root / "e\x1b.h5") as file:
        assert len(file["emb"]) == 16
    lists = ("--query_dataset", data / "test.csv", "--query_embeddings", root / "e\x1b.h5")
    checked(command("evaluate.py", *lists))
    page = root / "of embeddings.html"
    checked(command("visualize.py", "analyze", *lists, "--out", page))
    harmless(page, scripts=1)
