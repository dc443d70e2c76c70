import json
import struct

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from rlmaster.events import append_event, event
from tui.reading.log_tail import LOG_TAIL_BYTES, PASSED_OVER, LogTail
from tui.reading.previews import MOST_PIXELS, UnreadablePreviewError, read_preview
from tui.reading.run_overview import read_overview
from tui.reading.run_reader import RunReader


def save_preview(path, boxes):
    picture = Image.new("RGB", (40, 20), "black")
    picture.paste((255, 255, 255), (20, 0, 30, 10))
    notes = PngInfo()
    notes.add_text("zoomed_panels", boxes)
    picture.save(path, pnginfo=notes)


def test_a_log_is_followed_line_by_line(tmp_path):
    log = tmp_path / "log.txt"
    tail = LogTail(log)
    assert tail.new_lines() == []
    log.write_bytes(b"one\ntwo\nhal")
    assert tail.new_lines() == ["one", "two"]
    with log.open("ab") as file:
        file.write(b"f\nnot \xff utf-8\n")
    assert tail.new_lines() == ["half", "not � utf-8"]
    assert tail.new_lines() == []


def test_a_last_line_without_an_end_is_shown_once_nothing_more_is_written(tmp_path):
    log = tmp_path / "log.txt"
    tail = LogTail(log)
    log.write_bytes(b"one\n\r10 %\r20 %")
    assert [tail.new_lines() for _ in range(3)] == [["one"], ["20 %"], []]
    with log.open("ab") as file:
        file.write(b"\r30 %\nAborted")
    assert [tail.new_lines() for _ in range(3)] == [["30 %"], ["Aborted"], []]


def test_of_a_long_log_the_end_is_read(tmp_path):
    log = tmp_path / "log.txt"
    log.write_text("".join(f"line {number}\n" for number in range(100_000)))
    passed_over, *lines = LogTail(log).new_lines()
    assert passed_over == PASSED_OVER
    assert lines[-1] == "line 99999"
    assert sum(map(len, lines)) < LOG_TAIL_BYTES
    assert all(line.startswith("line ") for line in lines), "a line that was cut is left out"


def test_a_log_that_was_replaced_is_read_again(tmp_path):
    log = tmp_path / "log.txt"
    tail = LogTail(log)
    log.write_text("a long first line\n")
    tail.new_lines()
    log.write_text("short\n")
    assert tail.new_lines() == ["short"]


def test_a_preview_says_where_its_magnified_panels_are(tmp_path):
    save_preview(tmp_path / "p.png", json.dumps([[20, 0, 30, 10], [30, 0, 40, 10]]))
    preview = read_preview(tmp_path / "p.png")
    assert preview.whole.size == (40, 20)
    assert [panel.size for panel in preview.panels] == [(10, 10), (10, 10)]
    assert preview.panels[0].getpixel((5, 5)) == (255, 255, 255)
    assert preview.panels[1].getpixel((5, 5)) == (0, 0, 0)


@pytest.mark.parametrize(
    "boxes", ["", "nonsense", "7", "[[1, 2]]", "[[0, 0, 0, 9]]", "[[0, 0, 9e9, 9]]"]
)
def test_a_preview_with_odd_notes_is_shown_as_a_whole(tmp_path, boxes):
    save_preview(tmp_path / "p.png", boxes)
    assert read_preview(tmp_path / "p.png").panels == []


def test_a_picture_that_would_fill_the_memory_is_not_opened(tmp_path):
    save_preview(tmp_path / "p.png", "[]")
    content = bytearray((tmp_path / "p.png").read_bytes())
    content[16:24] = struct.pack(">II", MOST_PIXELS, 2)
    (tmp_path / "p.png").write_bytes(content)
    with pytest.raises(UnreadablePreviewError, match=r"p\.png is too large"):
        read_preview(tmp_path / "p.png")


@pytest.mark.parametrize("kept_bytes", [0, 20, 60, 90])
def test_half_a_picture_is_none(tmp_path, kept_bytes):
    save_preview(tmp_path / "p.png", "[]")
    content = (tmp_path / "p.png").read_bytes()
    (tmp_path / "p.png").write_bytes(content[:kept_bytes])
    with pytest.raises(UnreadablePreviewError, match=r"p\.png is no whole picture"):
        read_preview(tmp_path / "p.png")


def test_each_look_returns_only_what_is_new(make_run):
    folder = make_run()
    reader = RunReader(folder)
    first = reader.read()
    assert (first.events, first.log_lines, first.curves, first.preview) == ([], [], None, None)
    append_event(folder.worker_events, event("started", "off it goes"))
    append_event(folder.training_events, event("note", "a note", step=3))
    save_preview(folder.previews / "step-000000001.png", "[]")
    folder.log_file.write_text("hello\n")
    second = reader.read()
    assert [happened.kind for happened in second.events] == ["started", "note"]
    assert second.log_lines == ["hello"]
    assert second.preview is not None
    third = reader.read()
    assert (third.events, third.log_lines, third.preview) == ([], [], None)
    assert (third.details, third.preview_files, third.curves) == (None, None, None)


def test_the_small_files_are_read_again_once_one_of_them_changes(make_run):
    folder = make_run()
    reader = RunReader(folder)
    assert reader.read().details is not None
    assert reader.read().details is None
    folder.write_conclusion("It works.")
    details = reader.read().details
    assert details is not None
    assert details.row.conclusion == "It works."


def test_another_runs_curves_are_read_as_long_as_it_is_laid_over(make_run, finished_run):
    reader = RunReader(make_run())
    assert reader.read().other_curves is None
    reader.lay_over(finished_run.folder)
    curves = reader.read().other_curves
    assert curves is not None
    assert len(curves["train/loss"].steps)
    assert reader.read().other_curves is None


def test_a_broken_picture_is_told_of_and_looked_at_again_once_it_changes(make_run):
    folder = make_run()
    reader = RunReader(folder)
    newest = folder.previews / "step-000000002.png"
    newest.write_bytes(b"not a picture")
    assert "step-000000002.png is" in reader.read().preview_problem
    assert reader.read().preview_problem == "", "it has not changed since"
    save_preview(newest, "[]")
    assert reader.read().preview is not None


def test_a_real_run_has_curves_events_and_a_preview(finished_run):
    news = RunReader(finished_run.folder).read()
    assert news.overview is not None
    assert news.overview.state == "completed"
    assert news.curves is not None
    assert {"train/loss", "canonical/error"} <= set(news.curves)
    assert news.preview is not None
    assert len(news.preview.panels) == 3
    assert news.log_lines
    assert {"started", "finished"} <= {happened.kind for happened in news.events}


def test_a_run_that_is_gone_is_told(make_run):
    folder = make_run()
    folder.run_file.unlink()
    assert RunReader(folder).read().overview is None


@pytest.mark.parametrize("status", ['{"state": "weird"}', "{}", '{"state": []}', '{"state": null}'])
def test_a_damaged_status_is_that_of_a_lost_run(make_run, status):
    folder = make_run()
    folder.status_file.write_text(status)
    assert read_overview(folder).state == "lost"


@pytest.mark.parametrize(
    "progress",
    [
        '{"step": 1e999, "total": NaN, "rate_per_s": "fast", "eta_s": {}, "values": [1]}',
        '{"result": 3}',
        '{"phase": 7, "axis": null, "values": {"a": "x", "\\u001b[31mb": 1.5}, "result": {}}',
        "[]",
        "{",
    ],
)
def test_hostile_progress_becomes_numbers_and_plain_words(make_run, progress):
    folder = make_run()
    folder.progress_file.write_text(progress)
    read = read_overview(folder).progress
    assert isinstance(read.step, int)
    assert read.result == {}
    assert all(tag.isprintable() for tag in read.values)
