"""Identifiers go in, a keyed hash comes out: the same patient keeps one name, and nobody without the key finds it."""

from __future__ import annotations

import hmac
import os
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

from medtl.errors import InputError

KEY_VARIABLE = "MEDTL_KEY"
HASHED = re.compile(r"(?:P|ST|SE)-[0-9a-f]{8}")
FEWEST = 3  # names by which hashes are told from what looks like some

_keys: dict[Path, bytes] = {}


def key() -> bytes:
    """The user's secret: MEDTL_KEY, or a file made once in the user's config directory, readable by that user only.

    Raises:
        InputError: there is no MEDTL_KEY and the file cannot be made or read, or holds nothing.
    """
    from_environment = os.environ.get(KEY_VARIABLE, "")
    if from_environment:
        return from_environment.encode("utf-8", "surrogateescape")
    path = key_file()
    if path not in _keys:
        try:
            if not path.exists():
                _make_key(path)
            secret = path.read_bytes().strip()
        except OSError as error:
            raise InputError(
                f"{path}: the key that hides patient identifiers cannot be made or read ({error.strerror}); set "
                f"{KEY_VARIABLE} to a long secret text of your own, or give --keep-identifiers"
            ) from error
        if not secret:
            raise InputError(f"{path} is empty: put your key back, or delete it and a new one is made")
        _keys[path] = secret
    return _keys[path]


def key_file() -> Path:
    """Where the key lies when MEDTL_KEY does not give it."""
    from platformdirs import user_config_dir

    return Path(user_config_dir("medtl")) / "key"


def _make_key(path: Path) -> None:
    """Write a new key; where another process was first, its key stays.

    `atomic_write` would do but for the moment in which its file is readable by others, and for that it replaces.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32) + "\n")
        try:
            os.link(part, path)  # unlike a rename it never replaces
        except FileExistsError:
            pass
        except OSError:  # a disk without hard links (exFAT, some network drives)
            if not path.exists():
                part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def keyed_hash(
    text: str, prefix: str = "", length: int = 8, secret: bytes | None = None, from_header: bool = False
) -> str:
    """HMAC-SHA256 of `text` under the user's key: `prefix` and the first `length` hex digits; "" stays "".

    Eight digits tell 10,000 patients apart with a chance of 1 % that any two share a name, and then two patients
    stay in one split, which does no harm. What is hashed already (`P-` and eight digits) stays as it is, so that a
    table made from a manifest can be joined to it again; but what stands in a DICOM header is never hashed already,
    whatever it looks like (`P-20231234`), and is said to be `from_header`. A caller with many texts gives the `secret`
    that it got from `key` once.
    """
    if not text or (not from_header and prefix and text.startswith(prefix) and HASHED.fullmatch(text)):
        return text
    digest = hmac.digest(secret or key(), text.encode("utf-8", "surrogateescape"), "sha256")
    return prefix + digest.hex()[:length]


def hide_look_alikes(names: Sequence[str], prefix: str) -> list[str]:
    """A table's names, those hashed that only look like hashes: `P-20240017`, as a hospital may count its patients.

    Of three hashes and more, all without a letter among their digits, there is one table in 80,000.
    """
    alike = {name for name in names if name.startswith(prefix) and HASHED.fullmatch(name)}
    if len(alike) < FEWEST or any(re.search("[a-f]", name) for name in alike):
        return list(names)
    return [keyed_hash(name, prefix, from_header=True) if name in alike else name for name in names]
