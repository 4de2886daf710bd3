"""What can be wrong with the user's input, said in one sentence. The command line prints it and exits with 2."""

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """The input or the options are wrong.

    The message is one sentence that names the file or option, what is wrong, and what to do.
    """


class ScanError(InputError):
    """A file or a series cannot be read as a scan. The message is the `reason` in the manifest."""


def nearest(word: object, known: Iterable[str], otherwise: str) -> str:
    """Advice for a word that is not known: "did you mean …?", or `otherwise` where nothing known is like it."""
    spelt = {each.lower(): each for each in known}
    near = get_close_matches(str(word).lower(), spelt, n=1)
    return f"did you mean {spelt[near[0]]!r}?" if near else otherwise
