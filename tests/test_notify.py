import html
import logging
import socket
from concurrent.futures import ThreadPoolExecutor
from io import StringIO

import pytest

from rlmaster import notify
from rlmaster.events import Severity
from rlmaster.notify import Delivery, channels, deliver_once, notify_desktop, push, shown_url
from rlmaster.user_config import NOTICE_KINDS, UserConfig


@pytest.fixture
def no_desktop(monkeypatch):
    """No session bus, whatever the tester's own terminal has."""
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)


# ------------------------------------------------------------------------------------ delivery


@pytest.mark.system
def test_a_notice_arrives_and_is_known_to_have_arrived(desktop):
    hostile = 'a <b>bold</b> & "quoted" <img src="x"/> claim: $(true) ü'

    delivery = notify_desktop("pong: 5 < 6 & more", f"{hostile}\nWhy: so", Severity.ERROR)

    assert delivery.delivered, delivery.note
    (told,) = desktop()
    assert told["summary"] == "pong: 5 < 6 & more"
    assert html.unescape(told["body"]) == f"{hostile}\nWhy: so"
    assert not set('<>"') & set(told["body"])  # the daemon would take them for markup


@pytest.mark.usefixtures("no_desktop")
def test_without_a_desktop_nothing_is_delivered():
    delivery = notify_desktop("title", "body")

    assert not delivery.delivered
    assert delivery.note == "there is no desktop session here"


@pytest.mark.parametrize(
    "address", ["unix:path=/nonexistent/bus", "nonsense", "tcp:host=localhost"]
)
def test_a_bus_that_is_gone_is_not_taken_for_delivery(monkeypatch, address):
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)

    delivery = notify_desktop("title", "body")

    assert not delivery.delivered
    assert "cannot be reached" in delivery.note


@pytest.mark.system
def test_a_bus_without_a_daemon_is_not_taken_for_delivery(bus, monkeypatch):
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", bus)

    delivery = notify_desktop("title", "body")

    assert not delivery.delivered
    assert "no notification daemon" in delivery.note
    assert "ServiceUnknown" in delivery.note


def test_a_bus_that_does_not_answer_holds_nobody_up(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path is limited
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind("bus")
        silent.listen()
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=bus")
        monkeypatch.setattr(notify, "DEADLINE_S", 0.3)

        delivery = notify_desktop("title", "body")

    assert not delivery.delivered
    assert delivery.note == "the desktop session does not answer"


# ---------------------------------------------------------------------------------------- push


@pytest.fixture
def quiet(capfd):
    """Fail where a push left a word on the screen or in the log of the program."""
    log = StringIO()
    handler = logging.StreamHandler(log)
    logging.getLogger().addHandler(handler)
    yield
    logging.getLogger().removeHandler(handler)
    assert capfd.readouterr() == ("", "")
    assert log.getvalue() == ""


@pytest.mark.usefixtures("quiet")
def test_a_push_arrives_as_it_was_written(receiver):
    body = 'a <b>bold</b> & "quoted" *word*\nWhy: $(true) ü'

    assert push(receiver.ntfy, "pong: 5 < 6 & more", body, Severity.GOOD) == Delivery(True)
    assert push(receiver.json, "pong: 5 < 6 & more", body, Severity.ERROR) == Delivery(True)

    ntfy, hook = receiver.received
    assert ntfy == {"topic": "t0pic", "title": "pong: 5 < 6 & more", "message": body}
    assert (hook["title"], hook["message"]) == ("pong: 5 < 6 & more", body)
    assert hook["type"] == "failure"


@pytest.mark.parametrize(
    ("status", "note"),
    [
        (500, "it answered 500 Internal Server Error; try again later"),
        (429, "it answered 429 Too Many Requests; try again later"),
        (
            401,
            "it answered 401 Unauthorized; "
            "check the name, the token or password, and the path in its URL",
        ),
        (599, "it answered 599; try again later"),
    ],
)
@pytest.mark.usefixtures("quiet")
def test_a_service_that_refuses_is_not_taken_for_delivery(receiver, status, note):
    receiver.status = status

    for url in (receiver.ntfy, receiver.json):
        assert push(url, "title", "body") == Delivery(False, note)


@pytest.mark.usefixtures("quiet")
def test_a_service_that_is_not_there_is_not_taken_for_delivery():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and never listens
        port = taken.getsockname()[1]
        delivery = push(f"json://somebody:s3cret@127.0.0.1:{port}/t0ken", "title", "body")

    assert not delivery.delivered
    assert "cannot be reached" in delivery.note


@pytest.mark.usefixtures("quiet")
def test_a_service_that_does_not_answer_holds_nobody_up(receiver):
    receiver.answers.clear()

    delivery = push(f"{receiver.ntfy}?rto=0.2", "title", "body")

    assert not delivery.delivered
    assert "does not answer" in delivery.note


@pytest.mark.parametrize("url", ["nonsense://s3cret@t0ken/x", "slack://s3cret", "json://"])
@pytest.mark.usefixtures("quiet")
def test_a_url_that_apprise_does_not_take_is_not_taken_for_delivery(url):
    delivery = push(url, "title", "body")

    assert not delivery.delivered
    assert delivery.note.startswith("Apprise knows no such service, or its URL is incomplete")


@pytest.mark.usefixtures("quiet")
def test_a_service_that_breaks_is_a_note_without_its_words(monkeypatch):
    def fail(*_arguments: object, **_options: object) -> None:
        raise ValueError("json://s3cret@127.0.0.1")

    monkeypatch.setattr("apprise.Apprise.notify", fail)

    assert push("json://127.0.0.1", "title", "body") == Delivery(
        False, "Apprise failed with ValueError"
    )


# ------------------------------------------------------------------------------------- channels


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ntfys://me:s3cret@ntfy.sh/t0pic?token=x", "ntfys://ntfy.sh"),
        ("ntfy://127.0.0.1:8080/t0pic", "ntfy://127.0.0.1:8080"),
        ("JSONS://me:s3cret@Example.org/t0ken?+X-Key=x", "jsons://example.org"),
        ("mailto://me:s3cret@gmail.com", "mailto://gmail.com"),
        ("gotify://localhost/t0ken", "gotify://localhost"),
        # Here what looks like a host is the secret, or a part of it.
        ("ntfy://t0pic", "ntfy://..."),
        ("ntfy://t0pic.of.mine/", "ntfy://..."),
        ("slack://t0ken.a/b/c", "slack://..."),
        ("tgram://123456789:t0ken/chat", "tgram://..."),
        ("mailto://me.s3cret/word@gmail.com", "mailto://..."),
        ("mailto://me:s3cret/word@gmail.com", "mailto://..."),
        ("json://[s3cret", "json://..."),
        ("json://s3cret", "json://..."),
    ],
)
def test_of_a_url_only_what_is_no_secret_is_shown(url, shown):
    assert shown_url(url) == shown


@pytest.mark.usefixtures("no_desktop")
def test_each_address_is_a_channel_of_its_own(receiver, tmp_path):
    urls = (receiver.ntfy, receiver.json, receiver.ntfy, f"{receiver.json}2", "slack://a/b/c")
    found = channels(UserConfig(tmp_path, push=urls, kinds=frozenset({"failed"})))

    port = receiver.port
    assert [(channel.id, channel.label) for channel in found] == [
        (f"push-ntfy-127.0.0.1-{port}", f"ntfy://127.0.0.1:{port}"),
        (f"push-json-127.0.0.1-{port}", f"json://127.0.0.1:{port}"),
        (f"push-json-127.0.0.1-{port}-2", f"json://127.0.0.1:{port} (2)"),
        ("push-slack", "slack://..."),
    ]
    assert {channel.kinds for channel in found} == {frozenset({"failed"})}
    assert not any("s3cret" in repr(channel) for channel in found)
    delivery = found[1].deliver("title", "body", Severity.INFO)
    assert str(delivery) == f"notice delivered to json://127.0.0.1:{port}"
    assert receiver.titles() == ["title"]


def test_the_desktop_is_told_everything_unless_that_is_not_wanted(monkeypatch, tmp_path):
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus")

    (desktop,) = channels(UserConfig(tmp_path, kinds=frozenset()))
    assert desktop.kinds == set(NOTICE_KINDS)
    delivery = desktop.deliver("title", "body", Severity.INFO)
    assert str(delivery).startswith(
        "notice not delivered to the desktop: the desktop session cannot be"
    )
    assert channels(UserConfig(tmp_path, desktop=False)) == []


@pytest.mark.usefixtures("no_desktop")
def test_without_a_desktop_there_is_no_such_channel(tmp_path):
    assert channels(UserConfig(tmp_path)) == []


# --------------------------------------------------------------------------------------- claims


def test_a_notice_is_delivered_once_however_many_ask(tmp_path):
    claim = tmp_path / "announced" / "run" / "finished"
    told: list[int] = []

    def deliver() -> Delivery:
        told.append(1)
        return Delivery(True)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _n: deliver_once(claim, deliver), range(20)))

    assert len(told) == 1
    assert answers.count(None) == 19
    assert deliver_once(claim.with_name("failed"), deliver) == Delivery(True)


def test_a_notice_that_did_not_arrive_is_left_for_the_next(tmp_path):
    claim = tmp_path / "finished"

    assert deliver_once(claim, lambda: Delivery(False, "no")) == Delivery(False, "no")
    assert deliver_once(claim, lambda: Delivery(True)) == Delivery(True)
    assert deliver_once(claim, lambda: Delivery(True)) is None


def test_a_notice_is_left_for_the_next_where_its_delivery_broke(tmp_path):
    claim = tmp_path / "finished"
    with pytest.raises(ZeroDivisionError):
        deliver_once(claim, lambda: Delivery(bool(1 / 0)))

    assert deliver_once(claim, lambda: Delivery(True)) == Delivery(True)


def test_where_no_claim_can_be_made_the_notice_is_told_all_the_same(tmp_path):
    (tmp_path / "file").touch()

    for _ in range(2):
        assert deliver_once(tmp_path / "file" / "claim", lambda: Delivery(True)) == Delivery(True)
