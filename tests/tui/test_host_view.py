from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from tui.reading.host_view import HostsView, parse_hosts
from tui.widgets.host_strip import strip
from tui.words.host_text import bar, gauge, list_entry, page, strip_cell

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
HOSTILE = "\x1b[2Jx\x00y\u202e[bold]"
GPU = {
    "uuid": "GPU-1",
    "name": "NVIDIA H100",
    "utilisation": 0.97,
    "memory_used_bytes": 40e9,
    "memory_total_bytes": 80e9,
    "processes": [
        {"pid": 77, "user": "me", "own": True, "memory_bytes": 39e9},
        {"pid": 4242, "user": "eve", "own": False, "memory_bytes": None},
    ],
}
PROBE = {
    "hostname": "node7",
    "cores": 64,
    "load": 20.5,
    "utilisation": 0.31,
    "memory_total_bytes": 512e9,
    "memory_available_bytes": 256e9,
    "disk_free_bytes": 1.2e12,
    "gpus": [GPU],
    "runs": ["20260101-000000-abcdef"],
    "slots": ["GPU-1:0"],
}
LOCAL = {"name": "local", "kind": "local", "place": 0, "fits": True, "reason": "idle"}
BUSY = {
    "name": "gpu1",
    "kind": "ssh",
    "address": "me@gpu1",
    "place": 1,
    "fits": True,
    "reason": "1 of 1 slot taken",
    "probe": PROBE,
    "slots": 1,
    "waiting": 3,
}
SILENT = {
    "name": "office",
    "kind": "ssh",
    "place": 2,
    "fits": False,
    "reason": "unreachable since 10:30; refused",
    "probe": None,
    "unreachable": {"since": "2030-01-01T10:30:00+00:00", "reason": "refused"},
}


def view(*rows: object) -> HostsView:
    return parse_hosts({"hosts": list(rows)})


def test_hosts_come_in_the_order_of_hosts_toml():
    assert [host.name for host in view(SILENT, BUSY, LOCAL).hosts] == ["local", "gpu1", "office"]


def test_what_was_measured_is_read():
    (host,) = view(BUSY).hosts

    assert host.measured is not None
    assert host.measured.memory_share == 0.5
    assert host.running == 1
    (gpu,) = host.measured.gpus or ()
    assert (gpu.load, gpu.memory_share, gpu.is_used_by_others) == (0.97, 0.5, True)


anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inside: (
        st.lists(inside) | st.dictionaries(st.sampled_from([*BUSY, *PROBE, *GPU]), inside)
    ),
)


@given(st.dictionaries(st.sampled_from([*BUSY, *PROBE]), anything), anything)
def test_whatever_a_command_says_can_be_shown(row, probe):
    found = parse_hosts({"hosts": [{**row, "name": "x", "probe": probe}], "problem": row})

    for host in found.hosts:
        page(host, NOW)
        list_entry(host, NOW)
    strip(found, 80, 1, NOW)


def test_a_share_beyond_all_is_all():
    wild = {**PROBE, "utilisation": 1e9, "gpus": [{**GPU, "utilisation": -1e9}]}
    (host,) = view({**BUSY, "probe": wild}).hosts

    assert host.measured is not None
    (gpu,) = host.measured.gpus or ()
    assert (host.measured.utilisation, gpu.utilisation) == (1.0, 0.0)


def test_nothing_of_it_moves_the_cursor():
    probe = {**PROBE, "hostname": HOSTILE, "gpus": [{**GPU, "name": HOSTILE}]}
    words = dict.fromkeys(("name", "notes", "address", "reason"), HOSTILE)
    (host,) = view({**BUSY, **words, "tags": [HOSTILE], "probe": probe}).hosts

    for shown in (page(host, NOW), list_entry(host, NOW), strip_cell(host, NOW)):
        assert all(line.isprintable() for line in shown.plain.split("\n"))
        assert "[bold]" in shown.plain


def test_a_gauge_is_never_blank_and_a_bar_tells_without_colour():
    assert [gauge(share).plain for share in (None, 0.0, 0.5, 1.0)] == ["?", "▁", "▄", "█"]
    assert bar(0.25).plain == "━" * 5 + "─" * 15 + "  25% "


def test_a_page_tells_gpus_and_whose_processes_they_have():
    (host,) = view(BUSY).hosts

    text = page(host, NOW).plain

    assert "97% NVIDIA H100" in text
    assert "40 GB of 80 GB taken" in text
    assert "ours  process 77  39 GB" in text
    assert "× eve  process 4242" in text
    assert "256 GB free of 512 GB" in text


def test_a_page_tells_why_a_host_is_silent_and_what_to_do():
    (host,) = view(SILENT).hosts

    text = page(host, NOW).plain

    assert "unreachable since" in text
    assert "refused" in text
    assert "t looks for what is wrong" in text


def test_on_a_narrow_strip_the_host_with_runs_stays_and_the_rest_is_counted():
    many = view(LOCAL, BUSY, *({**SILENT, "name": f"h{n}", "place": n} for n in range(2, 9)))

    narrow = strip(many, 60, 1, NOW).plain
    wide = strip(many, 140, 3, NOW).plain

    assert "gpu1 cpu▂ gpu█× 1 running 3 waiting" in narrow
    assert narrow.endswith("+8 more")
    assert narrow.count("\n") == 0
    assert "h8 ✗ unreachable since" in wide
    assert "more" not in wide
    assert wide.count("\n") == 2


def test_the_strip_says_what_is_wrong_with_hosts_toml_and_is_empty_without_hosts():
    assert "asking" in strip(HostsView(), 80, 1, NOW).plain
    assert strip(view(), 80, 1, NOW).plain == ""
    problem = parse_hosts({"hosts": [LOCAL], "problem": "hosts.toml, line 1: no"})
    assert strip(problem, 80, 1, NOW).plain == "✗ hosts.toml, line 1: no"
