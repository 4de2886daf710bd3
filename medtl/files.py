"""Files that are whole or not there: written beside their place, then moved into it."""

from __future__ import annotations

import errno
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from medtl.errors import InputError


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a path to write to; it takes the place of `path` when the block ends well, and goes when it does not.

    Raises:
        InputError: the disk is full or the folder cannot be written.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")  # process numbers are alike in two containers
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        part.replace(path)
    except OSError as error:
        raise _in_plain_words(error, path) from error
    finally:
        with suppress(OSError):  # a place where nothing can be: there is nothing to take away, and the error is told
            if part.is_dir():
                shutil.rmtree(part, ignore_errors=True)
            else:
                part.unlink(missing_ok=True)


def refuse_existing(path: str | Path, force: bool) -> Path:
    """Return `path`, which does not exist or may be overwritten.

    Raises:
        InputError: it exists and `force` was not given.
    """
    path = Path(path)
    if path.exists() and not force:
        raise InputError(f"{path} exists already: choose another name, or give --force to replace it")
    return path


def _in_plain_words(error: OSError, path: Path) -> OSError | InputError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InputError(f"{path} could not be written: the disk is full; free some space and run again")
    if error.errno in (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG):
        return InputError(f"{path} could not be written ({error.strerror}): choose another name with -o")
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return InputError(f"{path} could not be written: no permission; choose another place with -o")
    return error


def read_yaml(path: Path, missing: str) -> Any:
    """What a YAML file says; nothing in it can run code.

    Args:
        path: of the file.
        missing: what to say, after the path, where it is not there.

    Raises:
        InputError: it is not there, or is not YAML.
    """
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: {missing}") from error
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path}: is not a YAML file: {_yaml_fault(error)}") from error


def _yaml_fault(error: Exception) -> str:
    """Why a file is not YAML, in one line, with the number of the line where the parser says it."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    return f"line {mark.line + 1}, {problem}" if mark and problem else str(error).splitlines()[0]
