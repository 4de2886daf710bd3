"""What is a label, what is none, and what is an uncertain one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from medtl.errors import InputError, nearest
from medtl.scans.datalist import NONE_OF_THEM

SPLITS = ("train", "calibrate", "test")
SPLIT_WORDS = {"training": "train", "val": "calibrate", "valid": "calibrate", "validation": "calibrate"}
SPLIT_WORDS |= {"calibration": "calibrate", "testing": "test"} | {name: name for name in SPLITS}

# without dots, brackets and the like (`_plain`); "none" is not among them: a finding may be none
EMPTY = {"", "nan", "na", "n/a", "null", "missing", "not available", "not applicable", "no label", "unlabelled"}
EMPTY |= {"unlabeled", "inf", "infinity", "-inf", "-infinity"}
UNCERTAIN = {"unknown", "unk", "uncertain", "unsure", "indeterminate", "undetermined", "inconclusive", "equivocal"}
UNCERTAIN |= {"unclear", "ambiguous", "questionable", "doubtful", "possible", "possibly", "maybe", "undecided"}
UNCERTAIN |= {"undiagnosed", "unspecified", "pending", "tbd", "tbc", "to be determined", "to be confirmed"}
UNCERTAIN |= {"nondiagnostic", "non diagnostic", "not diagnostic", "not evaluable", "not assessable"}
UNCERTAIN |= {f"not {word}" for word in ("known", "sure", "certain", "clear", "determined", "specified")}
MINUS_ONE = "uncertain (-1)"  # what a -1 among 0 and 1 is read as: CheXpert's mark
MINUS = {"-1", "-1.0"}
YES, NO = {"1", "1.0", "true", "yes", "y"}, {"0", "0.0", "false", "no", "n"}


def label_of(cell: str) -> str:
    """A label as the manifest has it: several, joined by ";", in sorted order; "" where it is empty or uncertain.

    A scan that has one uncertain label among others is unlabelled as a whole: what is not known is no class, and not
    the absence of one either.
    """
    if uncertain_word(cell):
        return ""
    return ";".join(sorted({name for name in _names(cell) if not _is_empty(name)}))


def uncertain_word(cell: str) -> str:
    """The word by which a label is uncertain, "indeterminate" say; "" where it is not."""
    for name in _names(cell):
        if name == MINUS_ONE:
            return "-1"
        if _is_uncertain(name):
            return name
    return ""


def uncertain_note(cell: str) -> str:
    """`uncertain label: indeterminate`, for a manifest's notes; "" where it is not."""
    word = uncertain_word(cell)
    return f"uncertain label: {word}" if word else ""


def marked(cells: Sequence[str]) -> list[str]:
    """One column of labels, 0 and 1 as such (1.0 is 1), and -1 among them uncertain; any other column as it is.

    In a column of 1 and -1 without a 0, -1 is a class.
    """
    words = {cell for cell in cells if not _is_empty(cell) and not uncertain_word(cell)}
    if not words <= {"0", "1", "-1", "0.0", "1.0", "-1.0"} or (words & MINUS and not words & {"0", "0.0"}):
        return list(cells)
    return [MINUS_ONE if cell in MINUS else cell.removesuffix(".0") for cell in cells]


def of_several_columns(names: Sequence[str], columns: Sequence[Sequence[str]]) -> list[str]:
    """One label of several columns of 0 and 1: the names of those that are 1, joined by ";".

    Where all are 0 it is "none"; an empty cell among others counts as 0, as NIH's and CheXpert's do; where all are
    empty the label is; one that is uncertain makes the whole uncertain. -1 is uncertain, but in columns of 1 and -1
    alone it is 0.

    Raises:
        InputError: a cell is something else.
    """
    said = {_word(cell) for cells in columns for cell in cells}
    uncertain, no = (MINUS, NO) if said & NO or any(map(_is_empty, said)) else (set[str](), NO | MINUS)
    labels = []
    for cells in zip(*columns, strict=True):
        words = [_word(cell) for cell in cells]
        doubtful = [cell for cell in cells if _is_uncertain(cell)]
        if doubtful or uncertain & set(words):
            labels.append(doubtful[0].strip() if doubtful else MINUS_ONE)
            continue
        for name, word in zip(names, words, strict=True):
            if word not in YES | no and not _is_empty(word):
                raise InputError(
                    f'the column "{name}" has a cell {word!r} where 0 or 1 is wanted; several label columns mark what '
                    "is there, a column that names the class is given alone"
                )
        present = [name for name, word in zip(names, words, strict=True) if word in YES]
        labels.append(";".join(present) or (NONE_OF_THEM if set(words) & no else ""))
    return labels


def refuse_alike(labels: Iterable[str]) -> None:
    """Refuse labels that differ only in upper and lower case or in spaces: "Benign" and "benign" are one class.

    Args:
        labels: as a manifest has them; several joined by ";".

    Raises:
        InputError: names the two.
    """
    spelt: dict[str, str] = {}
    for name in sorted({name for label in set(labels) for name in label.split(";")}):
        if (alike := spelt.setdefault(re.sub(r"\s", "", name).casefold(), name)) != name:
            raise InputError(
                f"the labels {alike!r} and {name!r} differ only in upper and lower case or in spaces: write them alike"
            )


def split_of(word: str, path: Path) -> str:
    """The manifest's name of a split: "val" is "calibrate".

    Raises:
        InputError: it is not known.
    """
    name = SPLIT_WORDS.get(word.lower(), "")
    if word and not name:
        hint = nearest(word.lower(), SPLIT_WORDS, f"it is one of {', '.join(SPLITS)}, or empty")
        raise InputError(f"{path}: the split {word!r} is not known; {hint}")
    return name


def _names(cell: str) -> list[str]:
    return [name.strip() for name in cell.split(";") if name.strip()]


def _word(cell: str) -> str:
    return cell.strip().lower()


def _plain(name: str) -> str:
    """A word without the dots, brackets and dashes that people put about it: "N.A." is "na"."""
    letters = re.sub(r"[.()\[\]{}<>\"'*!#:,]", "", _word(name))
    return re.sub(r"[\s_]+", " ", letters).strip(" /") if re.search(r"\w", letters) else ""


def _is_empty(name: str) -> bool:
    return _plain(name) in EMPTY and "+" not in name and not _is_uncertain(name)


def _is_uncertain(name: str) -> bool:
    """A word of doubt, or any with a question mark before or behind it."""
    asked = name.strip(" \t.()[]{}\"'!")
    return asked.startswith("?") or asked.endswith("?") or _plain(name) in UNCERTAIN
