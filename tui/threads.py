"""Threads that wait for something, and stop waiting when nobody wants it any more.

Textual's own types leave a worker's result open, which a strict checker minds: here, once.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import threading

from textual.dom import DOMNode
from textual.worker import get_current_worker


def cancelled_event() -> threading.Event:
    """Return what is set as soon as the worker that calls this is cancelled."""
    return get_current_worker().cancelled_event


def cancel_workers(node: DOMNode) -> None:
    """Cancel every worker that a screen or widget has started."""
    node.workers.cancel_node(node)
