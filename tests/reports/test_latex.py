import json
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from rlmaster.errors import ReportError
from rlmaster.reports import tex_engine, tex_text
from rlmaster.reports.latex import make_report
from rlmaster.run_folder import RunFolder
from tests.reports.conftest import needs_tex, write_scalars

HOSTILE = r"""
It's "quoted", 'single', `ls` and $(rm -rf /); \write18{rm} \input{/etc/passwd} % & # _ ^

ESC[31mredESC[0m \end{document} \\ {{{ }} ~ -- naïve 日本 👩🚀 x̂ HALF

{{ 7*7 }} << 7*7 >> %% if x
%# comment <% raw %> LONG
"""
HOSTILE = HOSTILE.replace("ESC", "\x1b").replace("HALF", "\u202e\ud83d\x00")
HOSTILE = HOSTILE.replace("LONG", "verylongword" * 30)


def words_of(pdf: Path) -> str:
    """Return a PDF's text with every white space left out, because lines break anywhere."""
    shown = subprocess.run(["pdftotext", str(pdf), "-"], capture_output=True, check=True, text=True)
    return "".join(shown.stdout.split()).replace("’", "'")


def without_tex(monkeypatch, tmp_path, *programs):
    """Leave only some programs on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for program in programs:
        (folder / program).symlink_to(shutil.which(program) or program)
    monkeypatch.setenv("PATH", str(folder))


def test_without_tex_there_is_a_tex_file_and_a_remedy(full_run, tmp_path, monkeypatch):
    without_tex(monkeypatch, tmp_path)
    said = []
    report = make_report(full_run, on_progress=said.append)
    assert report.pdf is None
    assert "apt install" in report.note
    assert said == ["drawing the plots", "compiling the report"]
    tex = report.tex.read_text()
    assert {path.name for path in full_run.plots.iterdir()} == {
        "training_loss.png", "held_out_error.png", "throughput.png",
    }  # fmt: skip
    for part in (
        r"Held-out error fell from 0.0123 to $4.18\times10^{-5}$ (per pixel), a factor of 294.",
        "Standing: best so far of 5 comparable runs.",
        "I expect so.",
        "{../plots/held_out_error.png}",
        "{preview.png}",
        r"embedder.latent\_dim & 64\\",
        "Training time & 2 min 13 s in 1 attempt",
        "Python 3.11.7, torch 2.13.0",
    ):
        assert part in tex
    assert tex.index(r"\textbullet\ embedder.latent\_dim") < tex.index("embedder.loss")


def test_a_run_that_plays_is_reported_by_its_return(playing_run, full_run):
    tex = make_report(playing_run, pdf=False).tex.read_text()

    assert {path.name for path in playing_run.plots.iterdir()} == {
        "return.png",
        "training_loss.png",
        "playing_speed.png",
    }
    for part in (
        "DoubleDQN on the latents of Autoencoder, end-to-end",
        "Mean return of 10 episodes rose from -20.3 to 18.3. Human-normalised score 109\\%",
        "(a) return of whole episodes in the game's own points",
        "(b) training loss",
        "(c) speed of playing",
        "Encoder from & 20260101-000000-abcdef, which played 100,000 agent steps",
        r"agent.updates\_per\_step",
        r"agent\_training.steps",
        "encoder.losses",
    ):
        assert part in tex
    without = make_report(full_run, pdf=False).tex.read_text()
    for part in ("on the latents of", "Encoder from", r"agent\_training", "encoder.losses"):
        assert part not in without


def test_each_plot_has_its_words_in_the_caption(full_run):
    tags = ("canonical/error", "canonical/ball_found")
    write_scalars(full_run.tensorboard, dict.fromkeys(tags, 5))

    tex = make_report(full_run, pdf=False).tex.read_text()

    assert "(a) training loss" in tex
    assert "(e) speed of training" in tex


@pytest.mark.parametrize("broken", [None, "missing", "garbage", "wrong types"])
def test_whatever_is_missing_or_damaged_the_report_is_made(full_run, broken):
    wrong = json.dumps({"state": 7, "result": [], "git": 3, "packages": 1, "step": "x", "total": 9})
    for path in [*full_run.path.glob("*.json*"), *full_run.path.glob("*/*.png")]:
        if broken == "missing":
            path.unlink()
        elif broken:
            path.write_text(wrong if broken == "wrong types" else "\x00{")
    report = make_report(full_run, pdf=False)
    tex = report.tex.read_text()
    assert tex.endswith("\\end{document}\n")
    assert ("I expect so." in tex, r"\includegraphics" in tex) == (True, True)
    if broken:
        assert "left out" in report.note
        assert "There is no result yet" in tex
    else:
        assert report.note == ""


def test_a_run_that_has_only_begun_has_a_report(make_run):
    run = make_run()
    run.progress_file.unlink()
    tex = make_report(run, pdf=False).tex.read_text()
    assert "There is no result yet." in tex
    assert r"\includegraphics" not in tex
    assert "Standing" not in tex


def test_the_standing_that_is_given_counts_more_than_the_one_at_launch(full_run):
    tex = make_report(full_run, standing="number 2 of 5", pdf=False).tex.read_text()
    assert "Standing: number 2 of 5." in tex
    assert "best so far" not in tex


def test_a_preview_that_leads_out_of_the_run_folder_is_not_shown(full_run, tmp_path):
    Image.new("RGB", (8, 8), "red").save(tmp_path / "secret.png")
    (full_run.previews / "step-000000200.png").symlink_to(tmp_path / "secret.png")
    report = make_report(full_run, pdf=False)
    assert "step-000000200.png is left out" in report.note
    assert "step-000000100.png" in report.tex.read_text()


@pytest.mark.parametrize("name", ["plots", "report"])
def test_nothing_is_written_through_a_link_out_of_the_run_folder(full_run, tmp_path, name):
    (tmp_path / "elsewhere").mkdir()
    (full_run.path / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ReportError, match="leads out of the run folder"):
        make_report(full_run, pdf=False)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_no_run_and_no_room_are_readable_errors(tmp_path, full_run):
    with pytest.raises(ReportError, match="no run folder"):
        make_report(RunFolder(tmp_path / "none"))
    full_run.report.write_text("a file where a folder should be")
    with pytest.raises(ReportError, match="cannot write the report"):
        make_report(full_run)


def test_tags_and_conclusion_are_shown_only_where_there_are_some(full_run):
    tex = make_report(full_run, pdf=False).tex.read_text()
    assert "Tags:" not in tex
    assert r"\section{Conclusion}" not in tex

    full_run.write_tags(["baseline", "latent_64"])
    full_run.write_conclusion("The ball survives.\n\nThe score does not.")
    tex = make_report(full_run, pdf=False).tex.read_text()
    assert r"Tags: baseline, latent\_64" in tex
    conclusion = tex.partition(r"\section{Conclusion}")[2]
    assert "The ball survives.\n\nThe score does not.\n" in conclusion
    assert "\ntags &" not in tex  # the experiment's own, which may have changed since


class TestWithTex:
    pytestmark = needs_tex

    def test_the_pdf_says_what_the_run_folder_says(self, full_run):
        report = make_report(full_run)
        assert report.note == ""
        assert report.pdf == full_run.report / "report.pdf"
        words = words_of(report.pdf)
        assert "pong-autoencoder" in words
        assert "Doestheballsurvive?" in words
        assert "embedder.latent_dim" in words
        assert sorted(path.name for path in full_run.report.iterdir()) == [
            "preview.png", "report.pdf", "report.tex",
        ]  # fmt: skip
        assert not list(full_run.path.glob(".report*"))

    def test_hostile_text_compiles_and_shows_as_it_is_written(self, make_run):
        run = make_run()
        run.rationale_file.write_bytes(HOSTILE.encode(errors="surrogatepass"))
        config = {**run.config(), "a&b": {"$x_\\": HOSTILE}, "list": [1, [2]], "": None}
        run.config_file.write_text(json.dumps(config))
        words = words_of(make_report(run, standing=HOSTILE).pdf)
        for part in (
            "It's\"quoted\",'single',`ls`and$(rm-rf/);\\write18{rm}\\input{/etc/passwd}%&#_^",
            "red\\end{document}\\\\{{{}}~--naïveU+65E5U+672CU+1F469U+1F680",
            "{{7*7}}<<7*7>>%%ifx%#comment<%raw%>" + "verylongword" * 30,
        ):
            assert part in words

    def test_a_hostile_conclusion_and_tags_show_as_they_are_written(self, make_run):
        run = make_run()
        run.conclusion_file.write_bytes(HOSTILE.encode(errors="surrogatepass"))
        run.write_tags([r"\input{x}", "50%_&#$", "日本"])
        words = words_of(make_report(run).pdf)
        assert r"Tags:\input{x},50%_&#$,U+65E5U+672C" in words
        conclusion = words.partition("Conclusion")[2]
        for part in (
            r"$(rm-rf/);\write18{rm}\input{/etc/passwd}%&#_^",
            "red\\end{document}\\\\{{{}}~--naïve",
            "{{7*7}}<<7*7>>%%ifx%#comment<%raw%>",
        ):
            assert part in conclusion

    def test_every_character_that_is_passed_on_has_a_glyph(self, make_run):
        known = [chr(c) for c in range(0xA1, 0x180)]
        known += [*tex_text.COMMANDS, *tex_text.MATHS, *tex_text.SUPERSCRIPTS, *tex_text.SUBSCRIPTS]
        known += [f"{base}{mark}" for mark in tex_text.ACCENTS for base in "aiZ"]
        report = make_report(make_run(rationale=" ".join(known)))
        assert (report.note, report.pdf is not None) == ("", True)

    def test_pdflatex_alone_will_do(self, full_run, tmp_path, monkeypatch):
        without_tex(monkeypatch, tmp_path, "pdflatex")
        assert make_report(full_run).pdf

    def test_a_failure_names_the_first_error_and_keeps_the_log_only(self, tmp_path):
        tex = tmp_path / "report ü" / "report.tex"
        tex.parent.mkdir()
        tex.write_text("\\documentclass{article}\n\\begin{document}\n\\nonsense\n\\end{document}\n")
        compiled = tex_engine.compile_tex(tex)
        assert compiled.pdf is None
        assert "report.tex:3: Undefined control sequence" in compiled.note
        assert sorted(path.name for path in tex.parent.iterdir()) == ["report.log", "report.tex"]
        assert [path.name for path in tmp_path.iterdir()] == ["report ü"]

    def test_tex_cannot_run_programs_and_reads_no_packages_from_the_run(
        self, tmp_path, monkeypatch
    ):
        tex = tmp_path / "report" / "report.tex"
        tex.parent.mkdir()
        monkeypatch.setenv("HOME", str(tmp_path))
        (tex.parent / "textcomp.sty").write_text(r"\errmessage{planted}")
        for file in (tex.parent / "latexmkrc", tmp_path / ".latexmkrc"):
            file.write_text(f"system('touch {tmp_path}/planted');")
        tex.write_text(
            "\\documentclass{article}\\usepackage{textcomp}\n\\begin{document}x"
            f"\\immediate\\write18{{touch {tmp_path}/written}}\\end{{document}}\n"
        )
        assert tex_engine.compile_tex(tex).pdf
        assert not list(tmp_path.rglob("planted"))
        assert not (tmp_path / "written").exists()

    def test_tex_that_never_ends_is_ended(self, tmp_path, monkeypatch):
        tex = tmp_path / "report" / "report.tex"
        tex.parent.mkdir()
        tex.write_text("\\loop\\iftrue\\repeat\n")
        monkeypatch.setattr(tex_engine, "DEADLINE_S", 1.0)
        assert "longer than 1 s" in tex_engine.compile_tex(tex).note
