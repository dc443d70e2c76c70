"""`rlmaster conclude` and `rlmaster tag`: what people add to a run afterwards."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlmaster.cli.arguments import (
    JsonOption,
    RunArgument,
    RunsArgument,
    YesOption,
    find_run_folder,
)
from rlmaster.cli.editing import edited, given_text
from rlmaster.cli.terminal import answer, answer_json, confirm, is_interactive, say
from rlmaster.errors import UsageError, near_match

if TYPE_CHECKING:
    from rlmaster.run_folder import RunFolder

LONGEST_TAG = 64


def conclude_command(
    run: RunArgument,
    text: Annotated[
        str | None, typer.Option(help="What was learned, in a few words.", metavar="TEXT")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="A file that says it; - is stdin.", metavar="FILE")
    ] = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write down what was learned from a run; its report then says so.

    Without --text or --file your editor opens on what is there by now. An empty text takes the
    conclusion back.
    """
    folder, runs = find_run_folder(run)
    words = given_text(text, file, what="conclusion", options=("--text", "--file"))
    may_ask = is_interactive() and not yes
    if words is not None:
        changed = _keep(folder, words, yes=yes, may_ask=may_ask)
    elif may_ask:
        with edited(folder.conclusion(), what="conclusion") as words:
            changed = _keep(folder, words, yes=False, may_ask=True)
    else:
        raise UsageError('nobody is asked here; say what was learned: --text "..." or --file FILE')
    code = _tell_others(folder, runs) if changed else 0
    if as_json:
        answer_json({"run_id": folder.id, "conclusion": folder.conclusion()})
    raise typer.Exit(code)


def _keep(run: "RunFolder", words: str, *, yes: bool, may_ask: bool) -> bool:
    """Keep a conclusion, and tell whether it is another one now."""
    before, words = run.conclusion(), words.strip()
    if not words and not before:
        raise UsageError("the conclusion is empty; say in a few words what was learned")
    if not words and not yes:
        if not may_ask:
            raise UsageError("an empty text takes the conclusion back; if that is meant, add --yes")
        if not confirm(f"Take back the conclusion of run {run.short_id}?"):
            words = before
    if words == before:
        say("the conclusion stays as it was")
        return False
    run.write_conclusion(words)
    say("the conclusion is kept" if words else "the conclusion is taken back")
    return True


def _tell_others(run: "RunFolder", runs: Path) -> int:
    """Tell the index, make the report again where there is one, and return the exit code."""
    _refresh_index(run, runs)
    if not (run.report / "report.tex").exists():
        return 0
    from rlmaster.follower import finish

    say("making the report again")
    ending = finish(run, runs)
    if ending.note:
        say(ending.note)
    return 0 if ending.tex else 1


def _refresh_index(run: "RunFolder", runs: Path) -> None:
    from rlmaster.run_index import RunIndex

    with RunIndex(runs) as index:
        index.refresh(run)


def tag_command(
    runs: RunsArgument,
    add: Annotated[
        list[str] | None, typer.Option("--add", help="Add a tag.", metavar="WORD")
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option("--remove", help="Take a tag off.", metavar="WORD")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the tags of runs, or change them; `rlmaster runs tag:WORD` finds runs by one."""
    found = [find_run_folder(run) for run in runs]
    folders = [folder for folder, _ in found]
    added, removed = list(dict.fromkeys(add or ())), set(remove or ())
    _refuse_bad_tags(folders, added, removed)
    for folder, all_runs in found:
        tags = folder.tags()
        kept = [tag for tag in tags if tag not in removed]
        kept += [tag for tag in added if tag not in tags]
        if kept != list(tags):
            folder.write_tags(kept)
            _refresh_index(folder, all_runs)
    if as_json:
        rows = [{"run_id": folder.id, "tags": list(folder.tags())} for folder in folders]
        answer_json({"runs": rows})
        return
    for folder in folders:
        answer(f"{folder.short_id}  {folder.name}  {' '.join(folder.tags()) or '(no tags)'}")


def _refuse_bad_tags(folders: "list[RunFolder]", added: Sequence[str], removed: set[str]) -> None:
    """Refuse what cannot be a tag or cannot be taken off, before anything is changed."""
    for word in added:
        if not word or not word.isprintable() or " " in word or len(word) > LONGEST_TAG:
            raise UsageError(
                f"{word!r} is no tag: a tag is one printable word without spaces, of at most "
                f"{LONGEST_TAG} characters"
            )
        if word in removed:
            raise UsageError(f"{word!r} cannot be added and removed at once; say one of them")
    known = {tag for folder in folders for tag in folder.tags()}
    for word in sorted(removed - known):
        which = "the run has no" if len(folders) == 1 else "none of the runs has a"
        raise UsageError(f"{which} tag {word!r}{near_match(word, known)}")
