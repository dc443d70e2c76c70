"""The report of a run: report.tex from a template, and report.pdf where there is a TeX engine."""

import io
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from rlmaster.durable_files import write_atomically
from rlmaster.errors import ReportError
from rlmaster.reports.content import Content, gather
from rlmaster.reports.scalars import ScalarReader
from rlmaster.reports.tex_engine import compile_tex
from rlmaster.reports.tex_text import Tex, escape, escape_sentence, paragraphs
from rlmaster.run_folder import RunFolder

LARGEST_PREVIEW_PIXELS = 40_000_000
PLOT_CAPTIONS = {
    "return": "return of whole episodes in the game's own points: measured with next to no "
    "exploration, and of those played while training, each (light) and smoothed (dark); open "
    "circle: before training",
    "training_loss": "training loss, each recorded value (light) and smoothed (dark)",
    "canonical_error": "error on the game's canonical frames; open circles: before training",
    "ball_found": "share of canonical frames whose drawn ball is within 2 pixels of the true one",
    "held_out_error": "error on frames held out from training; open circles: before training",
    "throughput": "speed of training, each recorded value (light) and smoothed (dark)",
    "playing_speed": "speed of playing and learning together",
}


@dataclass(frozen=True)
class Report:
    """What was made of a run."""

    tex: Path
    pdf: Path | None
    """None where it was not wanted, or could not be made."""
    note: str
    """What is missing and why, or nothing."""


def make_report(
    run: RunFolder,
    *,
    standing: str = "",
    pdf: bool = True,
    on_progress: Callable[[str], None] = lambda _: None,
) -> Report:
    """Draw the plots and write the report of a run, whatever state it is in.

    Args:
        run: The run.
        standing: How it stands among comparable runs, in words; where empty, as provenance says.
        pdf: Whether to compile it too.
        on_progress: Told what is being done, a few words each time.

    Raises:
        ReportError: If there is no such run, or nothing can be written there.
    """
    if not run.path.is_dir():
        raise ReportError(f"{run.path} is no run folder; `rlmaster runs` lists those there are")
    try:
        return _make(run, standing, pdf, on_progress)
    except OSError as error:
        reason = error.strerror or error
        raise ReportError(
            f"cannot write the report of {run.path} ({reason}); free some space or check the rights"
        ) from error


def _make(run: RunFolder, standing: str, pdf: bool, on_progress: Callable[[str], None]) -> Report:
    for folder in (run.plots, run.report):
        if not _is_inside(folder, run):
            raise ReportError(f"{folder} leads out of the run folder; remove that link")
        folder.mkdir(exist_ok=True)
    content = gather(run, standing)
    on_progress("drawing the plots")
    plots = _draw_plots(run, content)
    preview = _keep_preview(run, content)
    tex = run.report_tex
    write_atomically(tex, _render(content, plots, preview))
    if not pdf:
        return Report(tex, None, _joined(content.notes))
    on_progress("compiling the report")
    compiled = compile_tex(tex, [run.report / preview.name] if preview else [])
    return Report(tex, compiled.pdf, _joined([*content.notes, compiled.note]))


def _joined(notes: list[str]) -> str:
    return "; ".join(note for note in notes if note)


def _draw_plots(run: RunFolder, content: Content) -> list[str]:
    """Draw the standard plots and return the names of those that there is something to draw for."""
    from rlmaster.reports.figures import draw_standard_plots

    reader = ScalarReader(run.tensorboard)
    reader.update()
    content.notes += reader.notes
    return list(draw_standard_plots(reader.series, run.plots, axis=content.axis))


@dataclass(frozen=True)
class _Preview:
    """The picture that the report shows."""

    name: str
    """Of the copy beside the report."""
    source: str
    """Of the preview that it is a copy of."""


def _keep_preview(run: RunFolder, content: Content) -> _Preview | None:
    """Copy the newest preview that is whole beside the report, as a PNG that any TeX can read."""
    from PIL import Image

    for path in reversed(run.preview_files()[-3:]):
        try:
            if not _is_inside(path, run):
                raise ValueError("it leads out of the run folder")  # noqa: TRY301 - one note for all
            with Image.open(path, formats=["PNG"]) as picture:
                if picture.width * picture.height > LARGEST_PREVIEW_PIXELS:
                    raise ValueError("it is too large")  # noqa: TRY301
                copy = io.BytesIO()
                picture.convert("RGB").save(copy, format="PNG")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            content.notes.append(f"preview {path.name} is left out ({error})")
            continue
        write_atomically(run.report / "preview.png", copy.getvalue())
        return _Preview("preview.png", path.name)
    return None


def _is_inside(path: Path, run: RunFolder) -> bool:
    """Tell whether a path, with every link followed, is within the run folder."""
    return path.resolve().is_relative_to(run.path.resolve())


def _render(content: Content, plots: list[str], preview: _Preview | None) -> str:
    """Fill the template; every value that is not LaTeX already is escaped on its way in."""
    values: Mapping[str, Any] = {
        **asdict(content),
        "rationale": paragraphs(content.rationale),
        "conclusion": paragraphs(content.conclusion),
        "result": escape_sentence(content.result),
        "plots": [Tex(plot) for plot in plots],  # file names of ours
        "plots_caption": _plots_caption(plots),
        "preview": preview,
    }
    environment = Environment(
        loader=PackageLoader("rlmaster.reports"),
        autoescape=False,  # that is for HTML
        finalize=_as_tex,
        undefined=StrictUndefined,
        variable_start_string="<<",
        variable_end_string=">>",
        line_statement_prefix="%%",
        line_comment_prefix="%#",
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("report.tex").render(values).lstrip()


def _as_tex(value: object) -> Tex:
    return value if isinstance(value, Tex) else escape(str(value))


def _plots_caption(plots: list[str]) -> str:
    """Say what each plot shows; several have letters."""
    if len(plots) == 1:
        words = PLOT_CAPTIONS[plots[0]]
        return f"{words[0].upper()}{words[1:]}."
    parts = (
        f"({letter}) {PLOT_CAPTIONS[plot]}" for letter, plot in zip("abcdefgh", plots, strict=False)
    )
    text = "; ".join(parts)
    return f"{text}."
