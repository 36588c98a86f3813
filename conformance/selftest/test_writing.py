"""A report is written as a whole or not at all, and what failed is told in a sentence."""

import json
import os
import sys
from pathlib import Path

import pytest

from tuned_contrastive.conformance.__main__ import main
from tuned_contrastive.conformance.writing import NotWrittenError, write_text

PART = ["numpy", "--clause", "SUP-9"]


def test_an_interrupt_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, really_write = tmp_path / "report", Path.write_text

    def stop(place: Path, text: str, **given: str) -> int:
        really_write(place, text[:1], **given)
        raise KeyboardInterrupt

    file.write_text("before", encoding="utf-8")
    monkeypatch.setattr(Path, "write_text", stop)
    with pytest.raises(KeyboardInterrupt):
        write_text(file, "after")
    assert file.read_text(encoding="utf-8") == "before"
    assert list(tmp_path.iterdir()) == [file]


def test_links_and_modes_stay(tmp_path: Path) -> None:
    file, link = tmp_path / "report", tmp_path / "link"
    file.touch(mode=0o600)
    link.symlink_to(file)
    write_text(link, "after")
    assert link.is_symlink()
    assert file.read_text(encoding="utf-8") == "after"
    assert file.stat().st_mode & 0o777 == 0o600


def test_what_a_link_leads_to_is_made(tmp_path: Path) -> None:
    file, link = tmp_path / "report", tmp_path / "link"
    link.symlink_to(file)
    write_text(link, "new")
    assert link.is_symlink()
    assert file.read_text(encoding="utf-8") == "new"


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotWrittenError, match=f"^{tmp_path} could not be written: Is a directory$"):
        write_text(tmp_path, "")


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is a device of Linux")
def test_a_full_disk_is_one_sentence_and_keeps_the_other_reports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "report.md"
    assert main([*PART, "--json", "/dev/full", "--markdown", str(file)]) == 1
    said = capsys.readouterr()
    assert said.err.endswith("\n/dev/full could not be written: No space left on device\n")
    assert said.out.endswith(f"written: {file}\n")
    assert "SUP-9" in file.read_text(encoding="utf-8")


@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="pipes have no path here")
def test_a_report_goes_through_a_pipe() -> None:
    end, begin = os.pipe()
    with open(end, encoding="utf-8") as reader:
        assert main([*PART, "--json", f"/dev/fd/{begin}"]) == 0
        os.close(begin)
        assert json.load(reader)["target"] == "numpy"


def test_a_link_to_itself_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert main([*PART, "--json", str(loop)]) == 2
    why = "Too many levels of symbolic links"
    told = f"{loop} cannot be written, and --json needs it: {why}\n"
    assert capsys.readouterr().err == told
