"""Threads that wait for something, and stop waiting when nobody wants it any more.

Textual's own types leave a worker's result open, which a strict checker minds: here, once.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from textual.dom import DOMNode
from textual.worker import get_current_worker

MOST_THREADS = 64
"""Nearly all of them wait, which takes no processor; of itself asyncio has only a few."""
Answer = TypeVar("Answer")


def let_many_wait() -> None:
    """Give the loop that runs enough threads for all that waits at the same time."""
    threads = ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="waiting")
    asyncio.get_running_loop().set_default_executor(threads)


def cancelled_event() -> threading.Event:
    """Return what is set as soon as the worker that calls this is cancelled."""
    return get_current_worker().cancelled_event


def cancel_workers(node: DOMNode) -> None:
    """Cancel every worker that a screen or widget has started."""
    node.workers.cancel_node(node)


async def in_thread(work: Callable[[threading.Event], Answer]) -> Answer:
    """Do something blocking in a thread; it is told to leave when nobody waits for it any more.

    Args:
        work: What is done; it is given what is set as soon as it shall leave.
    """
    cancelled = threading.Event()
    try:
        return await asyncio.to_thread(work, cancelled)
    finally:
        cancelled.set()
