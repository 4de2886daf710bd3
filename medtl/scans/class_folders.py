"""Folders that are classes, the splits and sites that stand above or below them."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from medtl.errors import InputError
from medtl.progress import say
from medtl.scans.class_words import are_findings, are_grades, may_be_a_class, may_be_a_site
from medtl.scans.joining import Named
from medtl.scans.label_words import SPLIT_WORDS

DEEPEST = 6  # levels of folders below the root that are looked at
CLASSES = range(2, 21)  # how many folders may be classes

FOLDER = "folder"  # what `--label-column` says where folders are classes


class Placed(NamedTuple):
    """What the folders on the way to a scan say of it; "" where they say nothing."""

    label: str
    split: str = ""
    site: str = ""


def class_folders(scans: Sequence[Named], label_column: str | None = None) -> list[Placed] | None:
    """The class, split and site of each scan by the folders that it lies in, where the folders are classes; and say so.

    `FOLDER/benign`, `FOLDER/train/benign`, `FOLDER/benign/train` and `FOLDER/site/benign` are told apart so: a level of
    folders is splits when its names are train, val, test and the like; classes when it has 2 to 20 names, one of them
    at least names a finding (a disease, its absence, a grade, a kind of cell: `class_words`), and none a patient, a
    series, a date or a view. The level above it is sites where the classes repeat in each of its folders. Folders that
    are one a patient are no classes.

    A guess takes no other folder: its name could be a person's. Where the user says that folders are classes
    (`label_column="folder"`) and none names a finding, they are those whose names repeat in each of the folders above
    them, which then are sites; else the lowest that hold several scans each, 20 folders at most if there are such; else
    those right above the scans.

    Args:
        scans: of one indexed folder.
        label_column: what the user gave as `--label-column`; "folder" makes folders the label, anything else is a
            labels file's and nothing here.

    Returns:
        For each scan, or None: they are no classes, and if they could be, the user is told how to say so.

    Raises:
        InputError: the user says that folders are classes, and the scans lie in no folder or all in one.
    """
    if not scans:
        return None
    chosen = label_column == FOLDER
    parts = [scan.files[0].relative_to(scan.root).parts[:-1] for scan in scans]
    depth = min(DEEPEST, min(map(len, parts)))
    levels = [[part[level] for part in parts] for level in range(depth)]
    levels = [names for names in levels if len(set(names)) > 1]
    split = next((names for names in levels if _are_splits(names)), None)
    others = [names for names in levels if names is not split]
    classes, sites = _classes_and_sites(others)
    if chosen and classes is None:
        classes, sites = _chosen(others, parts)
    elif classes is None or (not chosen and _one_a_patient(classes, scans)):
        _say_how(others, scans)
        return None
    if sites and not chosen and _one_a_patient(sites, scans):
        sites = None
    placed = [
        Placed(name, SPLIT_WORDS[split[i].lower()] if split else "", sites[i] if sites else "")
        for i, name in enumerate(classes)
    ]
    found = [f"classes: {_counts(classes)}"]
    found += [f"splits: {_counts([each.split for each in placed])}"] if split else []
    found += [f"sites: {_counts(sites)}"] if sites else []
    if chosen:
        say(f"labels are the folders' names, as --label-column {FOLDER} says; {'; '.join(found)}")
    else:
        say(f"no labels file, but folders that look like {'; like '.join(found)}; give --labels if they are not")
    return placed


def _classes_and_sites(levels: Sequence[list[str]]) -> tuple[list[str] | None, list[str] | None]:
    """Which of the first levels are the classes, and which the sites, where that can be told."""
    for names in levels[:1]:
        if _could_be_classes(names) and are_findings(names):
            return names, None
    for upper, lower in itertools.pairwise(levels[:2]):
        sites = len(set(upper)) in CLASSES and all(map(may_be_a_site, set(upper)))
        if sites and _could_be_classes(lower) and are_findings(lower) and _repeat(upper, lower):
            return lower, upper
    return None, None


def _chosen(levels: Sequence[list[str]], parts: Sequence[tuple[str, ...]]) -> tuple[list[str], list[str] | None]:
    """The classes, and the sites, where the user says that folders are classes and no name tells which."""
    for upper, lower in itertools.pairwise(levels):
        if _repeat(upper, lower):
            return lower, upper
    several = [names for names in levels if min(Counter(names).values()) > 1]
    few = [names for names in several if len(set(names)) in CLASSES]
    if levels:
        return (few or several or levels)[-1], None
    folders = [part[-1] if part else "" for part in parts]
    if len(set(folders)) < 2:
        raise InputError(
            f"--label-column {FOLDER}: the scans do not lie in several folders, whose names could be their labels; "
            "give the folder above, or --labels"
        )
    return folders, None


def _say_how(levels: Sequence[list[str]], scans: Sequence[Named]) -> None:
    """Where folders might be classes, say how the user says that they are; their names could be patients'."""
    if any(_could_be_classes(names) and not _one_a_patient(names, scans) for names in levels[:2]):
        say(f"no labels file: the scans stay unlabelled; if the folders are classes, say --label-column {FOLDER}")


def _repeat(upper: Sequence[str], lower: Sequence[str]) -> bool:
    """Whether each upper folder has several of the lower names, and each lower name stands in several of them."""
    inside, over = defaultdict(set), defaultdict(set)
    for above, name in zip(upper, lower, strict=True):
        inside[above].add(name)
        over[name].add(above)
    return all(len(names) > 1 for names in inside.values()) and all(len(above) > 1 for above in over.values())


def _are_splits(names: Sequence[str]) -> bool:
    words = {name.lower() for name in names}
    return words <= set(SPLIT_WORDS) and len({SPLIT_WORDS[word] for word in words}) > 1


def _could_be_classes(names: Sequence[str]) -> bool:
    counts = Counter(names)
    return (
        len(counts) in CLASSES
        and min(counts.values()) > 1
        and (are_grades(names) or all(may_be_a_class(name) for name in counts))
    )


def _one_a_patient(folders: Sequence[str], scans: Sequence[Named]) -> bool:
    """Whether it is an archive's export, a folder a patient: none has two, and most have one that is known."""
    of_folder = defaultdict(set)
    for folder, scan in zip(folders, scans, strict=True):
        of_folder[folder].add(scan.patient)
    known = [patients - {""} for patients in of_folder.values()]
    return max(map(len, known)) <= 1 and 2 * sum(map(bool, known)) > len(known)


def _counts(names: Sequence[str]) -> str:
    return ", ".join(f"{name} ({count:,})" for name, count in sorted(Counter(names).items()))
