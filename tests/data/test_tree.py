"""A folder as it is found: what is used and what is left out is all that lies there."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ablate.config.schema import DataConfig
from ablate.data import datasets
from ablate.data.cache import Images
from ablate.data.pictures import decode
from ablate.data.pictures.folders import Unusable
from tests.data.encodings import encodings, picture, saved, turned

FILES = {ending: content for _, ending, content in encodings()}
FILES |= {"jpeg": FILES["jpg"], "tif": saved(picture(), "TIFF")}
BESIDE = {"txt": b"words", "db": b"\xd0\xcf\x11\xe0", "csv": b"a,b\n", "json": b"{}", "zip": b"PK\x03\x04", "": b"x",
          "heic": b"\0\0\0\x18ftypheic", "svg": b"<svg></svg>", "pdf": b"%PDF-1.7", "mp4": b"\0\0\0\x18ftypisom",
          "psd": b"8BPS", "eps": b"%!PS-Adobe", "jp2": b"\0\0\0\x0cjP  \r\n", "exe": b"MZ"}  # fmt: skip
OF_TOOLS = [".ipynb_checkpoints", ".git", "@eaDir", "__MACOSX", "#recycle", "$RECYCLE.BIN", "lost+found", "thumbnails",
            "System Volume Information", ".thumbnails"]  # fmt: skip


@contextmanager
def in_this_process(_: int) -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def read(root: Path, **options: Any) -> Images:
    return datasets.load(DataConfig("folder", 16, path=str(root), cache=str(root.parent / "cache"), **options))


def fill(folder: Path, count: int = 3, ending: str = "png") -> Path:
    """A class folder with pictures, each of another colour."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        colour = tuple(np.random.default_rng([i, len(str(folder)), ord(folder.name[0])]).integers(0, 256, 3).tolist())
        Image.new("RGB", (20, 16), colour).save(folder / f"{i}.{ending}")
    return folder


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(decode, "processes", in_this_process)
    for part, count in (("train", 6), ("val", 2)):
        for name in ("cat", "dog"):
            fill(tmp_path / "pets" / part / name, count)
    return tmp_path / "pets"


# -- used + left out = all --------------------------------------------------------------------

names = st.sampled_from(["a", "b", "ü", "two words", "Z", "1", "猫", "-x", "a.b"])
folders = st.lists(st.sampled_from(["", "", "deep", "Ünter", *OF_TOOLS]), max_size=3)
entries = st.lists(
    st.tuples(
        st.sampled_from(["train/cat", "train/dog", "val/cat", "val/dog", "train", "val", "", "else", "test"]),
        folders,
        names,
        st.sampled_from([*FILES, *BESIDE, "JPG", "link", "folder link", ".hidden", "~", "pipe", "empty folder"]),
    ),
    max_size=14,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(entries)
def test_used_and_left_out_is_all_that_lies_there(given_entries: list[tuple[str, list[str], str, str]]) -> None:
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setattr(decode, "processes", in_this_process)
        root, outside = Path(place) / "data", fill(Path(place) / "outside", 2)
        for part in ("train/cat", "train/dog", "val/cat", "val/dog"):
            fill(root / part, 2)
        there = 8 + sum(put(root, outside, *entry) for entry in given_entries)
        images = read(root)
        assert images.reading is not None
        used = len(images.train_labels) + len(images.test_labels)
        assert used == sum(images.reading.formats.values())
        assert used + sum(images.reading.left_out.values()) == there
        # The twin: a file more is noticed.
        (root / "train" / "cat" / "one more.txt").write_text("x")
        more = read(root).reading
        assert more is not None
        assert used + sum(more.left_out.values()) == there + 1


def put(root: Path, outside: Path, part: str, below: list[str], name: str, kind: str) -> int:
    """Put something into the tree; return how many files that adds."""
    below = [each for each in below if each]
    if part in ("train", "val") and below and below[0] not in OF_TOOLS:
        part = f"{part}/cat"  # else it would be a class of its own
    folder = root.joinpath(part, *below)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.{kind}"
    if kind in (".hidden", "~"):
        path = folder / (f".{name}.png" if kind == ".hidden" else f"{name}.png~")
    if kind == "empty folder" or os.path.lexists(path):
        return 0
    if kind == "link":
        path.symlink_to(outside / "0.png")
    elif kind == "folder link":
        tool = any(each in OF_TOOLS for each in below) or part in ("", "train", "val", "else", "test")
        if part in ("train", "val", "") and not below:
            return 0  # a class, or a part, of its own
        path.symlink_to(outside)
        return 1 if tool else 2
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(FILES.get(kind.lower(), BESIDE.get(kind, b"x")))
    return 1


# -- what is no picture of the class ----------------------------------------------------------


@pytest.mark.parametrize("name", OF_TOOLS)
def test_what_tools_leave_below_a_class_is_left_out_and_counted(root: Path, name: str) -> None:
    before = read(root).fingerprint
    fill(root / "train" / "cat" / name / "deeper", 4)
    fill(root / "val" / name, 1)
    images = read(root)
    assert images.fingerprint == before
    assert images.reading is not None
    assert images.reading.left_out == {f"in {name}": 5}
    # The twin: a folder of anyone's is read.
    fill(root / "train" / "cat" / "mine" / "deeper", 4)
    assert len(read(root).train_labels) == 16


@pytest.mark.fault(24)
def test_what_programs_leave_beside_pictures_is_left_out(root: Path) -> None:
    for name in ("._0.png", ".0.png.swp", "0.png~", "0.png.bak", "0.png.crdownload", "0.png.part"):
        shutil.copy(root / "train" / "dog" / "0.png", root / "train" / "cat" / name)
    reading = read(root).reading
    assert reading is not None
    assert reading.left_out == {"hidden": 2, "left by a program": 4}
    assert reading.two_labels == 0


def test_links_that_lead_back_are_refused_and_others_followed(root: Path) -> None:
    elsewhere = fill(root.parent / "elsewhere" / "more", 3)
    (root / "train" / "cat" / "linked").symlink_to(elsewhere)
    assert len(read(root).train_labels) == 15
    for place, target in ((elsewhere / "again", elsewhere), (root / "train" / "dog" / "up", root / "train"),
                          (root / "val" / "dog" / "other", root / "train" / "dog")):  # fmt: skip
        place.symlink_to(target)
        with pytest.raises(Unusable, match=r"is a link back into the data's own folders"):
            read(root)
        place.unlink()


def test_links_that_lead_nowhere_and_folders_that_cannot_be_listed_are_named_together(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "train" / "bird").symlink_to("/not/mounted")
    (root / "train" / "cat" / "x.png").symlink_to("/gone.png")
    (root / "train" / "dog" / "round").symlink_to("round")
    scan = os.scandir

    def closed(path: Any) -> Any:
        if str(path).endswith("secret"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    (root / "val" / "cat" / "secret").mkdir()
    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(Unusable) as error:
        read(root)
    said = str(error.value)
    for what in ("train/bird is a broken link", "train/cat/x.png is a broken link",
                 "train/dog/round is a broken link", "val/cat/secret cannot be listed: Permission denied"):  # fmt: skip
        assert what in said


def test_files_in_both_parts_and_under_two_labels_are_counted(root: Path) -> None:
    reading = read(root).reading
    assert reading is not None
    assert reading.warnings() == []
    shutil.copy(root / "train" / "cat" / "0.png", root / "val" / "cat" / "copied.png")
    shutil.copy(root / "train" / "cat" / "1.png", root / "train" / "dog" / "also.png")
    reading = read(root).reading
    assert reading is not None
    assert reading.warnings() == [
        "1 test image is also in the training set (identical files)",
        "2 pictures have more than one label",
    ]


# -- layouts ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "val"),
    [("Train", "Val"), ("training", "validation"), ("TRAINING", "Testing"), ("train_set", "test set"), ("train", "valid")],
)  # fmt: skip
def test_parts_go_by_the_names_that_people_give_them(root: Path, train: str, val: str) -> None:
    before = read(root).fingerprint
    (root / "train").rename(root / f".{train}")
    (root / f".{train}").rename(root / train)
    (root / "val").rename(root / val)
    assert read(root).fingerprint == before


def test_with_val_and_test_the_holdout_is_val_and_the_result_is_tests(root: Path) -> None:
    fill(root / "test" / "cat", 5)
    fill(root / "test" / "dog", 5)
    images = read(root)
    assert len(images.test_labels) == 10
    train, held = datasets.holdout_split(images, DataConfig("folder", 16, path=str(root)))
    assert (len(train), len(held)) == (12, 4)
    assert images.train_labels[held].tolist() == [0, 0, 1, 1]
    # The twin: without test/, val is what is judged.
    shutil.rmtree(root / "test")
    assert read(root).held is None


def test_a_test_folder_without_labels_is_counted_and_not_judged(root: Path) -> None:
    fill(root / "test" / "images", 5)
    images = read(root)
    assert images.reading is not None
    assert len(images.test_labels) == 4
    assert images.reading.left_out == {"without a label, in test": 5}
    assert "its 5 files have no label" in images.reading.notes[0]


def test_an_accent_spelled_in_two_ways_is_one_class(root: Path) -> None:
    fill(root / "train" / "caf\u00e9")
    fill(root / "val" / "cafe\u0301")
    assert read(root).classes == ("caf\u00e9", "cat", "dog")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda r: r.rename(r.parent / "inner"), r"data\.path=.*/inner"),
        (lambda r: (r / "val").rename(r / "train2"), r"it has train alone: data\.test_share=0\.2"),
        (lambda r: [(r / "train" / c).rename(r / c) for c in ("cat", "dog")] + [shutil.rmtree(r / p) for p in ("train", "val")],
         r"holds cat, dog; if these are the classes, data\.test_share=0\.2"),
        (lambda r: (r / "Train").mkdir(), "has both Train and train"),
        (lambda r: [f.rename(r / "val" / f.name) for f in (r / "val" / "cat").iterdir()] + [shutil.rmtree(r / "val" / c) for c in ("cat", "dog")],
         r"val/ has no class folders, and 2 files outside any"),
        (lambda r: shutil.rmtree(r / "val" / "cat") or (r / "val" / "cat").mkdir(), "class cat has no picture in val/"),
    ],
    ids=["too high", "train alone", "in one piece", "two trains", "flat val", "empty test class"],
)  # fmt: skip
def test_what_is_laid_out_otherwise_gets_the_way_out(root: Path, change: Any, sentence: str) -> None:
    changed = change(root)
    if not root.is_dir():
        (root.parent / "pets").mkdir()
        changed.rename(root.parent / "pets" / "inner")
    with pytest.raises(ValueError, match=sentence):
        read(root)


def test_a_part_given_as_the_whole_is_told_the_folder_above(root: Path) -> None:
    with pytest.raises(ValueError, match=rf"it is one of them itself: data\.path={root}$"):
        read(root / "train")


def test_classes_in_one_piece_are_cut_by_name_and_stay_cut(root: Path) -> None:
    one = root / "train"
    images = read(one, test_share=0.34)
    assert np.bincount(images.test_labels).tolist() == [2, 2]
    assert read(one, test_share=0.34).fingerprint == images.fingerprint
    assert read(one, test_share=0.34, split_seed=1).fingerprint != images.fingerprint
    (one / "cat" / "words.txt").write_text("no picture takes part")
    assert read(one, test_share=0.34).fingerprint == images.fingerprint
    with pytest.raises(ValueError, match=r"data\.test_share=0\.34 is for a folder .* remove it"):
        read(root, test_share=0.34)
    for i in range(1, 6):
        (one / "cat" / f"{i}.png").unlink()
    with pytest.raises(ValueError, match="class cat has 1 training image and the test set needs 1"):
        read(one, test_share=0.34)


# -- lists ------------------------------------------------------------------------------------


def listed(root: Path, lines: list[str]) -> Path:
    (root / "list.csv").write_text("\n".join(lines) + "\n")
    return root / "list.csv"


def test_a_list_says_what_a_folder_would(root: Path) -> None:
    lines = ["File;Label;Part"]
    for part in ("train", "val"):
        lines += [
            f"{part}/{name}/{i}.png;{name};{part}"
            for name in ("dog", "cat")
            for i in range(6 if part == "train" else 2)
        ]
    assert read(listed(root, lines)).fingerprint == read(root).fingerprint


def test_groups_stay_on_one_side_of_every_split(root: Path) -> None:
    lines = ["file,label,group"]
    lines += [
        f"train/{name}/{i}.png,{name},patient {(i + (name == 'dog')) % 4}" for name in ("cat", "dog") for i in range(6)
    ]
    path = listed(root, lines)
    images = read(path, test_share=0.3)
    config = DataConfig("folder", 16, path=str(path), test_share=0.3, holdout=0.3)
    train, held = datasets.holdout_split(images, config)
    assert images.groups is not None
    assert not set(images.groups[train]) & set(images.groups[held])
    assert len(train) > 0
    assert len(held) > 0
    of_test = {tuple(image.ravel()) for image in images.test_images}
    groups = {line.rsplit(",", 1)[1] for line in lines[1:]}
    assert 0 < len(of_test) < 12
    assert len(set(images.groups)) < len(groups)  # one at least is the test set's alone
    # The twin: without groups, the holdout takes from several.
    loose = np.unique(images.groups[datasets.holdout_split(read(root), config)[1] % len(images.groups)])
    assert len(loose) > 1


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["name,class", "a,b"], "needs the columns file and label .* its first line has name, class"),
        (["file,label"], "lists no picture"),
        (["file,label,part", "gone.png,cat,train", "train/cat/0.png,,train", "train/cat/1.png,cat,tset"],
         r"line 2: gone\.png is not there; line 3 has no label; line 4: part 'tset' is none of"),
        (["file,label,part,group", "train/cat/0.png,cat,train,p", "train/cat/1.png,cat,test,p"], "group p is in test and in train"),
        (["file,label", "train/cat/0.png,cat", "train/dog/1.png,dog"], r"names no test set: give it the column part"),
    ],
    ids=["columns", "empty", "several", "group apart", "no test"],
)  # fmt: skip
def test_a_list_that_cannot_be_used_says_all_that_is_wrong(root: Path, lines: list[str], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        read(listed(root, lines))


# -- files that are wrong ---------------------------------------------------------------------


def end_this_process(*_: Any) -> None:
    os._exit(3)


@pytest.mark.fault(82)
@pytest.mark.parametrize("moment", ["before", "during"])
def test_a_process_that_is_ended_while_it_decodes_is_said_to_be(
    root: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # for processes that are real
    if moment == "before":
        whole = decode.into_array

        def ended(pool: Executor, *rest: Any) -> Any:
            with pytest.raises(BrokenProcessPool):
                pool.submit(os._exit, 3).result()
            return whole(pool, *rest)

        monkeypatch.setattr(decode, "into_array", ended)
    else:
        monkeypatch.setattr(decode, "_chunk_into_file", end_this_process)
    with pytest.raises(ValueError, match=r"was ended from outside, .* the same command tries again"):
        read(root)
    monkeypatch.undo()
    assert len(read(root).train_labels) == 12


@pytest.mark.fault(79)
@pytest.mark.parametrize("what", ["class", "file", "list"])
def test_a_name_that_is_not_utf8_is_named_escaped(root: Path, what: str) -> None:
    odd = os.fsdecode(b"H\xfcndin")
    if what == "class":
        (root / "train" / "dog").rename(root / "train" / odd)
    elif what == "file":
        (root / "train" / "dog" / f"{odd}.png").write_bytes(b"\x89PNG, cut")
    else:
        (root.parent / "list.csv").write_bytes(b"file,label,part\npets/train/dog/0.png,H\xfcndin,train\n")
    sentence = {"class": "not UTF-8", "file": "train/dog/", "list": r"list\.csv is not text in UTF-8"}[what]
    with pytest.raises(ValueError, match=sentence) as raised:
        read(root.parent / "list.csv" if what == "list" else root)
    assert what == "list" or "udcfcndin" in str(raised.value).replace("\\", "")
    str(raised.value).encode()  # and can be printed


def test_all_bad_files_are_named_at_once_and_what_was_decoded_is_kept(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(root / "train" / "cat", 30)
    good = {path: path.read_bytes() for path in sorted((root / "train" / "cat").iterdir())[:23]}
    for path in good:
        path.write_bytes(b"")
    with pytest.raises(Unusable, match=r"for 23 reasons: .*; and 3 more$") as error:
        read(root)
    assert str(error.value).count("is empty") == 20
    for path, content in good.items():
        path.write_bytes(content)
    looked = []
    look_at = decode.look_at
    monkeypatch.setattr(decode, "look_at", lambda path, *given: (looked.append(path), look_at(path, *given))[1])
    images = read(root)
    assert sorted(looked) == sorted(good)
    assert images.fingerprint == read(shutil.copytree(root, root.parent / "copy")).fingerprint


@pytest.mark.fault(19, 23)
@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.png", b"", "a.png is empty"),
        ("a.jpg", b"<!DOCTYPE html><html>", "is a web page, not a picture"),
        ("a.jpg", b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer, not the picture"),
        ("a.webp", saved(picture(), "WEBP")[:200], "is a damaged (or truncated )?WebP file"),
        ("a.tif", saved(picture(), "TIFF")[:3000], "is a damaged (or truncated )?TIFF file"),
        ("a.gif", FILES["gif"][:20], "is a damaged (or truncated )?GIF file"),
        ("a.tif", saved(Image.fromarray(np.full((8, 8), -1.0, np.float32)), "TIFF"), r"values lie in -1 … -1"),
        ("a.png", b"nothing", r"is not a picture in a supported format \(JPEG, PNG, WebP"),
    ],
)  # fmt: skip
def test_a_bad_file_is_named_in_plain_words(root: Path, name: str, content: bytes, sentence: str) -> None:
    (root / "train" / "cat" / name).write_bytes(content)
    with pytest.raises(Unusable, match=sentence) as error:
        read(root)
    assert not {"0x", "codec", "BytesIO", "Plugin"} & set(str(error.value).split())


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_animated_pictures_are_left_out_by_name_and_a_gifs_first_is_read(root: Path, kind: str) -> None:
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    (root / "train" / "cat" / "film").write_bytes(saved(frames[0], kind, save_all=True, append_images=frames[1:]))
    (root / "train" / "dog" / "film.gif").write_bytes(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    reading = read(root).reading
    assert reading is not None
    assert reading.left_out == {f"animated {'WebP' if kind == 'WEBP' else kind}": 1}
    assert reading.formats == {"PNG": 16, "GIF": 1}
    assert reading.notes == ["1 picture: an animated GIF, of which only the first frame is used"]


@pytest.mark.parametrize("top", [255, 4095, 65535])
def test_depths_keep_a_picture_readable(root: Path, top: int) -> None:
    values = (np.arange(256).reshape(16, 16) * top // 255).astype(np.uint16)
    (root / "train" / "cat" / "0.png").write_bytes(saved(Image.fromarray(values), "PNG"))
    seen = read(root).train_images[0]
    assert (seen.min(), seen.max()) == (0, 255)
    assert np.abs(seen[..., 0].astype(int) - np.arange(256).reshape(16, 16)).max() <= 1


def test_the_ground_of_transparent_pictures_is_a_choice_and_another_experiment(root: Path) -> None:
    clear = Image.new("RGBA", (16, 16), (9, 9, 9, 0))
    (root / "train" / "cat" / "0.png").write_bytes(saved(clear, "PNG"))
    white, black, blue = (read(root, background=colour) for colour in ("white", "black", "#0000ff"))
    assert white.train_images[0].min() == 255
    assert black.train_images[0].max() == 0
    assert (blue.train_images[0] == (0, 0, 255)).all()
    assert len({images.fingerprint for images in (white, black, blue)}) == 3


def test_memory_is_bounded_whatever_the_shape(root: Path) -> None:
    """Scaled as a whole, a line of 1 x 60,000 pixels would take 11 million rows of 16."""
    Image.new("RGB", (1, 600_000), "red").save(root / "train" / "cat" / "0.png")
    assert (read(root).train_images[0] == (255, 0, 0)).all()


@pytest.mark.fault(27)
def test_a_file_replaced_in_its_size_and_time_is_noticed(root: Path) -> None:
    path = root / "train" / "cat" / "0.png"
    before, status = read(root).fingerprint, path.stat()
    content = bytearray(saved(Image.new("RGB", (20, 16), "red"), "BMP"))
    path.write_bytes(content)
    first = read(root).fingerprint
    content[-1] ^= 255
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    read(root)
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert len({before, first, read(root).fingerprint}) == 3


def test_an_orientation_is_a_new_fingerprint_and_the_earlier_rules_bring_the_old_one_back(root: Path) -> None:
    path = root / "train" / "cat" / "0.png"
    config = DataConfig("folder", 16, path=str(root), cache=str(root.parent / "cache"))
    path.write_bytes(saved(picture(), "PNG"))
    assert read(root).fingerprint == datasets.load(config, rules=1).fingerprint
    path.write_bytes(saved(picture(), "PNG", exif=turned(6)))
    now, then = datasets.load(config), datasets.load(config, rules=1)
    assert now.fingerprint != then.fingerprint
    assert np.abs(now.train_images[0].astype(int) - np.rot90(then.train_images[0], -1)).max() <= 2  # scaled after it
    shutil.rmtree(root.parent / "cache")
    assert datasets.load(config, rules=1).fingerprint == then.fingerprint
