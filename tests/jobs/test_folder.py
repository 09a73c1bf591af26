"""Results as files: names that mean nothing to anybody, whole files, none in place of another."""

import os
import re
import stat
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from asyncnet import UsageError
from asyncnet.jobs.folder import Folder, clean, name_for


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://example.org/", "example.org"),
        ("https://example.org", "example.org"),
        ("https://example.org/a/b.tar.gz", "example.org_a_b.tar.gz"),
        ("http://example.org:8080/a", "example.org_8080_a"),
        ("https://example.org:443/a", "example.org_a"),
        ("https://example.org/a/../../../etc/passwd", "example.org_a_.._.._.._etc_passwd"),
        ("https://example.org/%2e%2e%2fetc", "example.org_2e_2e_2fetc"),
        ("tcp://127.0.0.1:99", "127.0.0.1_99"),
        ("tcp://[::1]:99", "1_99"),
        ("unix:///run/my.sock", "run_my.sock"),
        ("imaps://alice@mail.example.org/Sent%20Items", "mail.example.org_Sent_20Items"),
    ],
)
def test_a_file_is_named_after_its_url(url, name):
    assert name_for(url) == name


def test_queries_are_told_apart_and_not_told():
    first, second = name_for("https://a/x.html?token=one"), name_for("https://a/x.html?token=two")
    assert first != second
    assert "token" not in first + second
    assert first.startswith("a_x-")
    assert first.endswith(".html")


def test_a_long_url_makes_a_short_name():
    first, second = (name_for(f"https://a/{'x' * 5000}{n}.html") for n in (1, 2))
    assert len(first) <= 200
    assert first != second


@hypothesis.given(st.text())
def test_no_text_makes_a_name_that_means_anything_to_a_file_system(text):
    name = clean(text)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name)
    assert name not in (".", "..")


@hypothesis.given(st.from_regex(r"https://a/[!-~]{0,300}", fullmatch=True))
def test_no_url_makes_a_name_that_leaves_the_folder(url):
    try:
        name = name_for(url)
    except UsageError:
        return
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}", name)
    assert os.path.basename(name) == name


def test_a_file_is_written_whole_with_the_usual_rights(tmp_path):
    before = os.umask(0o027)
    try:
        path = Folder(str(tmp_path / "made" / "here")).save("a.bin", bytes(range(256)))
    finally:
        os.umask(before)
    assert Path(path).read_bytes() == bytes(range(256))
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640
    assert os.listdir(tmp_path / "made" / "here") == ["a.bin"]


def test_a_name_that_is_taken_gets_a_number(tmp_path):
    folder = Folder(str(tmp_path))
    names = [os.path.basename(folder.save("page.html", b"%d" % n)) for n in range(3)]
    assert names == ["page.html", "page-2.html", "page-3.html"]
    again = Folder(str(tmp_path)).save("page.html", b"of another run")
    assert os.path.basename(again) == "page-4.html"
    assert [(tmp_path / name).read_bytes() for name in names] == [b"0", b"1", b"2"]


def test_a_link_in_the_folder_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").symlink_to(victim)
    Folder(str(folder)).save("a", b"new")
    assert victim.read_bytes() == b"precious"
    assert (folder / "a-2").read_bytes() == b"new"


def test_without_links_a_file_system_takes_them_too(tmp_path, monkeypatch):
    def no_links(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    folder = Folder(str(tmp_path))
    assert [os.path.basename(folder.save("a", b"x")) for _ in range(2)] == ["a", "a-2"]
    assert sorted(os.listdir(tmp_path)) == ["a", "a-2"]


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    folder = Folder(str(tmp_path))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fchmod", full)
    with pytest.raises(OSError, match="No space"):
        folder.save("a", b"x")
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_is_a_usage_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match="cannot write into"):
        Folder(str(tmp_path / "file"))
