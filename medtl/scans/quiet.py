"""Reading without the libraries' warnings, in several threads at once."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager


class Together:
    """A context for what changes all threads at once: the first thread that comes enters it, the last leaves it.

    Had each thread its own, two that overlap would put back each other's change, and it would stay.
    """

    def __init__(self, make: Callable[[], AbstractContextManager[None]]) -> None:
        """`make` gives the context."""
        self._make = make
        self._lock = threading.Lock()
        self._inside = 0
        self._held: AbstractContextManager[None]

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._held = self._make()
                self._held.__enter__()
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._held.__exit__(None, None, None)


@contextmanager
def _ignored() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


without_warnings = Together(_ignored)  # an oddity in a file either matters, and is an error, or does not
