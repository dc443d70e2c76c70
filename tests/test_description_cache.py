import os
from pathlib import Path

import pytest

from rlmaster import description_cache
from rlmaster.description_cache import DescriptionCache

SAID = {"name": "x"}


@pytest.fixture
def cache(tmp_path):
    return DescriptionCache(tmp_path / "runs")


@pytest.fixture
def write(tmp_path):
    """Write a file as it was some time ago."""

    def written(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        os.utime(path, (1, 1))
        return path

    return written


def test_what_was_said_is_known_while_nothing_changes(cache, write):
    script, module = write("experiments/a.py", "1"), write("lib/module.py", "1")
    assert cache.find(script, "", ()) is None

    cache.keep(script, "", ("seed=1",), SAID, [str(module)])

    assert cache.find(script, "", ("seed=1",)) == SAID
    assert cache.find(script, "", ()) is None
    assert cache.find(script, "other", ("seed=1",)) is None


@pytest.mark.parametrize(
    "changed", ["experiments/a.py", "experiments/neighbour.py", "experiments/new.py", "lib/x.py"]
)
def test_a_change_of_what_it_was_read_with_is_seen(cache, write, changed):
    script = write("experiments/a.py", "1")
    write("experiments/neighbour.py", "1")
    cache.keep(script, "", (), SAID, [str(write("lib/x.py", "1"))])

    write(changed, "2")

    assert cache.find(script, "", ()) is None


def test_a_file_that_is_gone_is_seen(cache, write):
    script, module = write("experiments/a.py", "1"), write("lib/x.py", "1")
    cache.keep(script, "", (), SAID, [str(module)])

    module.unlink()

    assert cache.find(script, "", ()) is None


def test_what_may_have_changed_while_it_was_read_is_not_kept(cache, write):
    script = write("experiments/a.py", "1")
    os.utime(script)

    cache.keep(script, "", (), SAID, [])

    assert cache.find(script, "", ()) is None


def test_a_damaged_entry_is_done_without(cache, write, tmp_path):
    script = write("experiments/a.py", "1")
    cache.keep(script, "", (), SAID, [])
    [entry] = (tmp_path / "runs/.state/descriptions").iterdir()

    for content in ("{", "[]", "{}", '{"files": [], "said": {}}'):
        entry.write_text(content)
        assert cache.find(script, "", ()) is None


def test_the_oldest_entries_go(cache, write, monkeypatch):
    monkeypatch.setattr(description_cache, "MOST_ENTRIES", 2)
    script = write("experiments/a.py", "1")
    for seed in range(4):
        cache.keep(script, "", (f"seed={seed}",), {"seed": seed}, [])

    known = [cache.find(script, "", (f"seed={seed}",)) for seed in range(4)]
    assert known == [None, None, {"seed": 2}, {"seed": 3}]
