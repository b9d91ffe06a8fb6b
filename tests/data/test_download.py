"""Downloads: whole or resumable, checked before they are opened, and unpacked nowhere but where they belong."""

import gzip
import hashlib
import os
import socket
import stat
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from filelock import FileLock
from torchvision import datasets

from ablate.commands import cli
from ablate.config.schema import DataConfig
from ablate.data import download
from ablate.data import unpack as unpacking
from ablate.data.datasets import load
from ablate.data.download import Archive, download_tiny_imagenet, download_torchvision, fetch
from ablate.data.unpack import unpack
from tests.data.archives import fashion_files, make_tiny_imagenet, zipped


class Server:
    """Serves files from memory, with ranges, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str | None] = []  # the Range of each request
        self.ranges = "served"  # or ignored, or refused
        self.cut: int | None = None  # closes the connection after so many bytes
        self.url = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        content = self.files.get(request.path.lstrip("/"))
        asked = request.headers["Range"]
        self.asked.append(asked)
        if content is None:
            return request.send_error(404)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.ranges != "ignored" else 0
        if start and (self.ranges == "refused" or start >= len(content)):
            return request.send_error(416)
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()
        request.wfile.write(content[start:][: self.cut])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    served = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        served.url = f"http://127.0.0.1:{listening.server_port}"
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield served
        listening.shutdown()
        thread.join()


@pytest.fixture
def archive(server: Server, tmp_path: Path) -> Archive:
    """A small archive in Tiny ImageNet's layout, on the server."""
    content = zipped(make_tiny_imagenet(tmp_path / "published"), tmp_path / "published" / "a.zip").read_bytes()
    server.files["a.zip"] = content
    return archive_of(server, content)


def archive_of(server: Server, content: bytes) -> Archive:
    return Archive((f"{server.url}/a.zip",), len(content), hashlib.md5(content).hexdigest())


def nowhere() -> str:
    """An address at which nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{unused.getsockname()[1]}"


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def visible(folder: Path) -> list[str]:
    """What a user sees in it; the lock files are hidden."""
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))


# -- fetching ---------------------------------------------------------------------------------


def test_a_download_is_whole_and_a_second_asks_for_nothing(
    server: Server, archive: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = download_tiny_imagenet(tmp_path / "to", archive)
    assert tree(target) == tree(tmp_path / "published" / "tiny-imagenet-200")
    assert visible(tmp_path / "to") == ["tiny-imagenet-200"]
    assert "already there" not in capsys.readouterr().out
    assert download_tiny_imagenet(tmp_path / "to", archive) == target
    assert "already there" in capsys.readouterr().out
    assert server.asked == [None]


@pytest.mark.fault(25)
def test_a_download_cut_short_goes_on_where_it_stopped(server: Server, archive: Archive, tmp_path: Path) -> None:
    server.cut = 10_000
    with pytest.raises(ValueError, match=r"10,000 of .* bytes were received .* the same command resumes the download"):
        download_tiny_imagenet(tmp_path, archive)
    assert visible(tmp_path) == ["published", "tiny-imagenet-200.zip.part"]
    server.cut = None
    target = download_tiny_imagenet(tmp_path, archive)
    assert server.asked == [None, "bytes=10000-"]
    assert tree(target) == tree(tmp_path / "published" / "tiny-imagenet-200")


@pytest.mark.parametrize("ranges", ["ignored", "refused"])
def test_a_server_without_ranges_is_asked_for_all(
    server: Server, archive: Archive, tmp_path: Path, ranges: str
) -> None:
    part = tmp_path / "part"
    part.write_bytes(server.files["a.zip"][:10_000])
    server.ranges = ranges
    fetch(archive, part)
    assert part.read_bytes() == server.files["a.zip"]
    assert server.asked == (["bytes=10000-"] if ranges == "ignored" else ["bytes=10000-", None])


@pytest.mark.parametrize(("extra", "asked"), [(b"", []), (b"x", [None])], ids=["whole", "too long"])
def test_what_is_whole_is_not_asked_for_and_what_is_too_long_is_dropped(
    server: Server, archive: Archive, tmp_path: Path, extra: bytes, asked: list[None]
) -> None:
    part = tmp_path / "part"
    part.write_bytes(server.files["a.zip"] + extra)
    fetch(archive, part)
    assert part.read_bytes() == server.files["a.zip"]
    assert server.asked == asked


@pytest.mark.fault(25)
def test_a_wrong_byte_is_refused_and_removed(server: Server, archive: Archive, tmp_path: Path) -> None:
    right = server.files["a.zip"]
    server.files["a.zip"] = right[:7000] + bytes([right[7000] ^ 1]) + right[7001:]
    with pytest.raises(ValueError, match=r"MD5 checksum .* instead of .* removed; the same command starts anew"):
        download_tiny_imagenet(tmp_path / "to", archive)
    assert visible(tmp_path / "to") == []
    server.files["a.zip"] = right
    assert download_tiny_imagenet(tmp_path / "to", archive).is_dir()
    assert server.asked == [None, None]


def test_another_file_at_the_address_spoils_nothing(server: Server, archive: Archive, tmp_path: Path) -> None:
    part = tmp_path / "part"
    part.write_bytes(server.files["a.zip"][:10_000])
    server.files["a.zip"] = b"<html>please log in</html>" * 500
    with pytest.raises(ValueError, match=r"the file there has 13,000 bytes"):
        fetch(archive, part)
    assert part.stat().st_size == 10_000


def test_without_https_the_next_address_is_asked(server: Server, archive: Archive, tmp_path: Path) -> None:
    urls = (f"https://{nowhere()}/a.zip", *archive.urls)
    fetch(Archive(urls, archive.size, archive.md5), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == server.files["a.zip"]
    with pytest.raises(ValueError, match=r"0 of .*https://\S+: .*refused.*; http://\S+/b\.zip: HTTP Error 404"):
        fetch(Archive((urls[0], f"{server.url}/b.zip"), archive.size, archive.md5), tmp_path / "other")


def test_a_silent_server_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connects, and never answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a.zip"
        with pytest.raises(ValueError, match="timed out"):
            fetch(Archive((url,), 10, ""), tmp_path / "part")


def test_two_downloads_into_one_folder_do_not_mix(server: Server, archive: Archive, tmp_path: Path) -> None:
    with FileLock(tmp_path / ".tiny-imagenet-200.zip.lock"), pytest.raises(ValueError, match="another process"):
        download_tiny_imagenet(tmp_path, archive)
    assert server.asked == []


def test_what_is_in_the_way_is_named(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "tiny-imagenet-200" / "train").mkdir(parents=True)
    with pytest.raises(ValueError, match="tiny-imagenet-200 is in the way"):
        download_tiny_imagenet(tmp_path, archive)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ValueError, match=r"file cannot be written: .*--to DIR"):
        download_tiny_imagenet(tmp_path / "file", archive)


# -- unpacking --------------------------------------------------------------------------------


def zip_with(path: Path, name: str, mode: int = stat.S_IFREG | 0o644) -> Path:
    """An archive with one innocent member and one more."""
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("tiny-imagenet-200/fine.txt", "fine")
        member = zipfile.ZipInfo(name)
        member.external_attr = mode << 16
        made.writestr(member, "../../evil" * 10)
    return path


def patch_last_member(path: Path, offset: int, value: int) -> None:
    """Change a byte of the last member's entry in the archive's directory."""
    content = bytearray(path.read_bytes())
    content[content.rfind(b"PK\x01\x02") + offset] = value
    path.write_bytes(content)


@pytest.mark.fault(26)
@pytest.mark.parametrize(
    ("name", "mode", "fault"),
    [
        ("../evil", stat.S_IFREG, "leads outside"),
        ("tiny-imagenet-200/../../evil", stat.S_IFREG, "leads outside"),
        ("/evil", stat.S_IFREG, "leads outside"),
        ("C:evil", stat.S_IFREG, "leads outside"),
        ("..\\evil", stat.S_IFREG, "leads outside"),
        ("tiny-imagenet-200\\evil", stat.S_IFREG, "leads outside"),
        ("tiny-imagenet-200/evil", stat.S_IFLNK | 0o777, "a link or a device"),
        ("tiny-imagenet-200/evil", stat.S_IFIFO, "a link or a device"),
        ("tiny-imagenet-200/evil", -1, "encrypted"),
        ("tiny-imagenet-200/..evil", stat.S_IFREG, None),
    ],
    ids=["..", ".. inside", "absolute", "drive", "backslash ..", "backslash", "symlink", "fifo", "encrypted", "plain"],
)
def test_an_unsafe_archive_is_refused_as_a_whole(
    server: Server, tmp_path: Path, name: str, mode: int, fault: str | None
) -> None:
    path = zip_with(tmp_path / "a.zip", name, max(mode, 0))
    if mode == -1:
        patch_last_member(path, 8, 1)
    server.files["a.zip"] = path.read_bytes()
    path.unlink()
    to = tmp_path / "here" / "to"
    archive = archive_of(server, server.files["a.zip"])
    if fault is None:
        download_tiny_imagenet(to, archive)
        assert visible(to / "tiny-imagenet-200") == ["fine.txt"]
        assert (to / "tiny-imagenet-200" / "..evil").exists()
        return
    with pytest.raises(ValueError, match=rf"is refused, and nothing of it unpacked: .*{fault}"):
        download_tiny_imagenet(to, archive)
    assert {p.name for p in tmp_path.rglob("*") if not p.name.endswith((".lock", ".part"))} == {"here", "to"}


def test_a_data_path_that_is_an_unsafe_zip_is_refused(tmp_path: Path) -> None:
    path = zip_with(tmp_path / "a.zip", "../evil")
    with pytest.raises(ValueError, match=r"it holds '\.\./evil'"):
        load(DataConfig(name="tiny_imagenet", size=64, path=str(path), cache=str(tmp_path / "cache")))
    assert visible(tmp_path) == ["a.zip", "cache"]
    assert visible(tmp_path / "cache") == []


def test_what_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    path = zip_with(tmp_path / "a.zip", "more")
    with pytest.raises(ValueError, match="its 104 bytes are over 103"):
        unpack(path, tmp_path / "to", limit=103)
    assert visible(tmp_path) == ["a.zip"]
    unpack(path, tmp_path / "to", limit=104)
    assert tree(tmp_path / "to") == {"more": b"../../evil" * 10, "tiny-imagenet-200/fine.txt": b"fine"}


def test_an_archive_that_lies_about_a_size_is_refused(tmp_path: Path) -> None:
    path = zip_with(tmp_path / "a.zip", "more")
    patch_last_member(path, 24, 5)  # says 5 bytes, holds 100
    with pytest.raises(ValueError, match=r"a\.zip is no whole zip archive"):
        unpack(path, tmp_path / "to", limit=50)
    assert visible(tmp_path) == ["a.zip"]


def test_bytes_are_counted_while_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zip_with(tmp_path / "a.zip", "more")
    monkeypatch.setattr(unpacking, "_refuse_unsafe", lambda *_: None)  # as if the declared sizes had passed
    with pytest.raises(ValueError, match="unpacks to more than 103 bytes"):
        unpack(path, tmp_path / "to", limit=103)
    assert visible(tmp_path) == ["a.zip"]


def test_an_interrupted_unpacking_is_never_taken_for_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zip_with(tmp_path / "a.zip", "more")
    write: Callable[..., None] = unpacking._write

    def interrupted(opened: zipfile.ZipFile, folder: Path, limit: int) -> None:
        write(opened, folder, limit)
        raise KeyboardInterrupt

    monkeypatch.setattr(unpacking, "_write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        unpack(path, tmp_path / "to")
    monkeypatch.undo()
    assert visible(tmp_path) == ["a.zip"]

    (tmp_path / ".to.unpacking").mkdir()  # as a killed process leaves it
    (tmp_path / ".to.unpacking" / "half").write_bytes(b"ha")
    unpack(path, tmp_path / "to")
    assert sorted(tree(tmp_path / "to")) == ["more", "tiny-imagenet-200/fine.txt"]


def test_of_two_at_once_one_unpacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zip_with(tmp_path / "a.zip", "more")
    write: Callable[..., None] = unpacking._write
    both_began = threading.Barrier(2)
    written = []

    def counted(*given: object) -> None:
        written.append(given)
        write(*given)

    def begin(_: int) -> None:
        both_began.wait()
        unpack(path, tmp_path / "to")

    monkeypatch.setattr(unpacking, "_write", counted)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(begin, range(2)))
    assert len(written) == 1
    assert len(tree(tmp_path / "to")) == 2


# -- torchvision's ----------------------------------------------------------------------------


def test_fashion_mnist_comes_through_torchvision(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in fashion_files().items()}
    checked = [(name, hashlib.md5(content).hexdigest()) for name, content in server.files.items()]
    monkeypatch.setattr(datasets.FashionMNIST, "resources", checked)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "ablate" / "torchvision"

    monkeypatch.setattr(datasets.FashionMNIST, "mirrors", [f"http://{nowhere()}/"])
    with pytest.raises(
        ValueError, match=rf"^fashion_mnist could not be downloaded into {folder}: [^\n<]*refused; [^\n]*tries again$"
    ):
        download_torchvision("fashion_mnist", folder)
    monkeypatch.setattr(datasets.FashionMNIST, "mirrors", [f"{server.url}/"])
    download_torchvision("fashion_mnist", folder)
    assert load(DataConfig(name="fashion_mnist", size=32)).test_labels.tolist() == [9, 0, 1, 2]

    asked = len(server.asked)
    assert "already there" not in capsys.readouterr().out
    download_torchvision("fashion_mnist", folder)
    assert "already there" in capsys.readouterr().out
    assert len(server.asked) == asked


# -- the command ------------------------------------------------------------------------------


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """Run the command with words, and return its exit code."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    monkeypatch.setattr(socket, "setdefaulttimeout", lambda _: None)  # it would last beyond the test

    def run(*words: str) -> int:
        try:
            return cli.main(["download", *words])
        except SystemExit as left:
            return int(left.code or 0)

    return run


def test_the_default_place_is_where_training_looks(
    command: Callable[..., int],
    archive: Archive,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(download, "OFFICIAL", archive)
    assert command("tiny_imagenet") == 0
    assert capsys.readouterr().out.endswith("train on it with: python -m ablate data=tiny_imagenet\n")
    assert load(DataConfig(name="tiny_imagenet", size=64)).train_images.shape == (12, 64, 64, 3)
    assert command("tiny_imagenet") == 0
    assert "already there" in capsys.readouterr().out


def test_a_mirror_and_another_folder(
    command: Callable[..., int],
    server: Server,
    archive: Archive,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(download, "OFFICIAL", Archive((f"http://{nowhere()}/a.zip",), archive.size, archive.md5))
    assert command("tiny_imagenet", "--to", str(tmp_path / "to"), "--url", archive.urls[0]) == 0
    assert f"python -m ablate data=tiny_imagenet data.path={tmp_path / 'to'}\n" in capsys.readouterr().out
    assert visible(tmp_path / "to") == ["tiny-imagenet-200"]
    server.files["a.zip"] = server.files["a.zip"][:-1] + b"x"  # a mirror is checked as the original is
    assert command("tiny_imagenet", "--to", str(tmp_path / "other"), "--url", archive.urls[0]) == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("tiny_imagenet", "--url", "no address"), "unknown url type"),
        (("tiny_imagenet", "--url", "http://127.0.0.1:1/a.zip"), "0 of 248,100,043 bytes were received"),
        (("cifar10", "--url", "http://127.0.0.1:1/a.zip"), "--url is for tiny_imagenet"),
        (("cifar",), "invalid choice: 'cifar'"),
    ],
)
def test_mistakes_exit_with_2_and_a_sentence(
    command: Callable[..., int],
    words: tuple[str, ...],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    assert command(*words) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert sentence in last
    assert "download: " in last


def test_an_interrupted_download_exits_with_130(
    command: Callable[..., int],
    archive: Archive,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    def interrupted(_: Archive, part: Path) -> None:
        part.write_bytes(b"some")
        raise KeyboardInterrupt

    monkeypatch.setattr(download, "fetch", interrupted)
    assert command("tiny_imagenet", "--to", str(tmp_path / "to")) == 130
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert os.path.getsize(tmp_path / "to" / "tiny-imagenet-200.zip.part") == 4
