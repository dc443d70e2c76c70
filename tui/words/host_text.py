"""What is said about a computer: in a few cells of the strip, and on a page of its own."""

from collections.abc import Iterator
from datetime import datetime

from textual.content import Content

from tui.reading.host_view import GpuView, HostView, Measured
from tui.words.wording import size

LEVELS = " ▁▂▃▄▅▆▇█"
BAR_WIDTH = 20
LABEL_WIDTH = 9
GAP = "  "
QUIET = "$foreground-muted"
HIGH = 0.9
"""Of a gauge: from here on its colour says so too."""


def gauge(share: float | None) -> Content:
    """Draw a share as one character, which is never blank where something is known."""
    if share is None:
        return Content.styled("?", QUIET)
    level = max(1, min(len(LEVELS) - 1, round(share * (len(LEVELS) - 1))))
    return Content.styled(LEVELS[level], _gauge_colour(share))


def bar(share: float | None) -> Content:
    """Draw a share as a bar with its percentage."""
    if share is None:
        return Content.styled("not known".ljust(BAR_WIDTH + 6), QUIET)
    filled = round(share * BAR_WIDTH)
    return Content.assemble(
        ("━" * filled, _gauge_colour(share)),
        ("─" * (BAR_WIDTH - filled), "$foreground 30%"),
        f"{share:>5.0%} ",
    )


def _gauge_colour(share: float) -> str:
    return "$text-warning" if share >= HIGH else "$text-primary"


def since(moment: datetime, now: datetime) -> str:
    """Return a moment as a clock here shows it, with the day where that is another."""
    here = moment.astimezone()
    return f"{here:%H:%M}" if here.date() == now.astimezone().date() else f"{here:%d %b %H:%M}"


# ----------------------------------------------------------------------------------- the strip


def strip_cell(host: HostView, now: datetime, *, is_short: bool = False) -> Content:
    """Say of a host what matters most, in as few cells as that takes."""
    name = Content.styled(host.name, "bold")
    if is_short and host.is_silent and host.unreachable_since is not None:
        told = Content.styled(f"✗ since {since(host.unreachable_since, now)}", "$text-error")
        return Content(" ").join([name, told])
    return Content(" ").join([name, *_strip_parts(host, now)])


def _strip_parts(host: HostView, now: datetime) -> Iterator[Content]:
    if host.is_silent:
        yield Content.styled(f"✗ {silence(host, now)}", "$text-error")
        return
    if host.measured is None:
        yield Content.styled("asking …", QUIET)
        return
    yield Content.assemble(("cpu", QUIET), gauge(host.measured.utilisation))
    if host.measured.gpus:
        yield Content.assemble(("gpu", QUIET), *map(_gpu_gauge, host.measured.gpus))
    if told := queue_words(host):
        yield Content.styled(told, "$text-warning" if host.drained else "")
    else:
        yield Content.styled("no runs" if host.fits else "✗ cannot take a run", QUIET)


def _gpu_gauge(gpu: GpuView) -> Content:
    """Draw how much of a GPU is taken; one that others use is marked."""
    mark = Content.styled("×", "$text-warning") if gpu.is_used_by_others else Content("")
    return Content.assemble(gauge(gpu.load), mark)


def queue_words(host: HostView) -> str:
    """Say what runs and waits on a host, and whether it starts anything."""
    words = [f"{host.running} running"] * bool(host.running)
    words += [f"{host.waiting} waiting"] * bool(host.waiting)
    words += ["drained"] * host.drained
    return " ".join(words)


def slot_words(host: HostView) -> str:
    """Say how many of a host's slots are taken."""
    if host.measured is None or host.slots is None:
        return "Runs there"
    return f"Runs there: {len(host.measured.taken_slots)} of {host.slots} slots taken"


def silence(host: HostView, now: datetime) -> str:
    """Say that a host does not answer, and since when where that is known."""
    if host.unreachable_since is None:
        return "does not answer"
    return f"unreachable since {since(host.unreachable_since, now)}"


# ------------------------------------------------------------------------------------ the list


def list_entry(host: HostView, now: datetime) -> Content:
    """Say of a host how it stands, on two lines."""
    if host.is_silent:
        second = Content.styled(silence(host, now), "$text-error")
    elif host.measured is None:
        second = Content.styled("asking …", QUIET)
    else:
        second = Content(" ").join(_strip_parts(host, now))
    return Content.assemble(_state_sign(host), " ", (host.name, "bold"), "\n  ", second)


def _state_sign(host: HostView) -> Content:
    if host.is_pending:
        return Content.styled("…", QUIET)
    if host.is_silent:
        return Content.styled("✗", "$text-error")
    if host.drained:
        return Content.styled("‖", "$text-warning")
    return Content.styled("●" if host.running else "○", "$text-success")


# ------------------------------------------------------------------------------------ the page


def page(host: HostView, now: datetime) -> Content:
    """Say all that is known of a host but its runs."""
    lines = [_heading(host), *_trouble(host, now)]
    if host.measured is not None:
        lines += [Content(""), *_gauges(host.measured)]
    return Content("\n").join(lines)


def _heading(host: HostView) -> Content:
    where = "this computer" if host.kind == "local" else host.address
    computer = host.measured.computer if host.measured else ""
    facts = [fact for fact in dict.fromkeys((where, computer)) if fact not in ("", host.name)]
    facts += [f"tags: {', '.join(host.tags)}"] * bool(host.tags)
    title = Content.assemble((host.name, "bold"), (GAP + GAP.join(facts), QUIET))
    return Content.assemble(title, "\n", (host.notes, "italic")) if host.notes else title


def _trouble(host: HostView, now: datetime) -> Iterator[Content]:
    """Say what is wrong and what to do, or else what speaks for the host."""
    if host.is_silent:
        yield Content.styled(f"✗ {silence(host, now)}", "bold $text-error")
        yield Content.styled(host.unreachable_reason or host.reason, "$text-error")
        yield Content.styled("t looks for what is wrong; runs there may still go on.", QUIET)
    elif host.is_pending:
        yield Content.styled("asking …", QUIET)
    else:
        yield Content.styled(host.reason, QUIET if host.fits else "$text-warning")
        if host.drained:
            yield Content.styled("Drained: nothing more is started; o reopens it.", "$text-warning")


def _gauges(measured: Measured) -> Iterator[Content]:
    cores = "cores unknown" if measured.cores is None else f"{measured.cores} cores"
    load = "" if measured.load is None else f"{GAP}load {measured.load:.1f}"
    yield _row("cpu", bar(measured.utilisation), cores + load)
    free, total = measured.memory_available_bytes, measured.memory_total_bytes
    yield _row("memory", bar(measured.memory_share), _free(free, total))
    yield _row("disk", Content(""), _free(measured.disk_free_bytes, None))
    if measured.gpus is None:
        yield _row(
            "gpu", Content(""), f"not known: {measured.reasons.get('gpu', 'no reason given')}"
        )
    elif not measured.gpus:
        yield _row("gpu", Content(""), "none")
    for number, gpu in enumerate(measured.gpus or ()):
        yield from _gpu_lines(number, gpu)


def _row(label: str, shown: Content, words: str) -> Content:
    return Content.assemble((label.ljust(LABEL_WIDTH), QUIET), shown, words)


def _free(free: float | None, total: float | None) -> str:
    if free is None:
        return "not known"
    return f"{size(free)} free" + (f" of {size(total)}" if total is not None else "")


def _gpu_lines(number: int, gpu: GpuView) -> Iterator[Content]:
    yield _row(f"gpu {number}", bar(gpu.utilisation), gpu.name)
    used, total = gpu.memory_used_bytes, gpu.memory_total_bytes
    words = f"{size(used)} of {size(total)} taken" if used is not None and total else "not known"
    yield _row(GAP + "memory", bar(gpu.memory_share), words)
    for process in gpu.processes:
        user = "ours" if process.own else process.user or "somebody"
        memory = GAP + size(process.memory_bytes) if process.memory_bytes is not None else ""
        colour = QUIET if process.own else "$text-warning"
        mark = "" if process.own else "× "
        words = f"{mark}{user}{GAP}process {process.pid}{memory}"
        yield Content.styled(" " * LABEL_WIDTH + words, colour)
