"""Folders that are classes, the splits and sites that stand above or below them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from medtl.progress import say
from medtl.scans.joining import Named
from medtl.scans.label_words import SPLIT_WORDS

DEEPEST = 6  # levels of folders below the root that are looked at
CLASSES = range(2, 21)  # how many folders may be classes

NOT_A_CLASS = re.compile(
    r"(?:pat|patient|sub|subj|subject|case|study|series|st|se|p|s|im|img|image|images|dicom|dcm|scan|scans|exam|visit|ses"
    r"|session|ser|acc|data|mask|masks|train|training|val|valid|validation|test|testing|calibrate)?[-_ .]?[\d.\-_]*",
    re.IGNORECASE,
)
A_VIEW = re.compile(
    r"(t1|t1w|t1c|t1ce|t2|t2w|flair|dwi|adc|swi|bold|anat|func|fmap|left|right|l|r|cc|mlo|ap|pa|lat|lateral"
    r"|frontal|axial|coronal|sagittal|ct|mr|mri|us|pet|xr|cr|dx|mg|raw|processed|images?|masks?|annotations?|labels?)",
    re.IGNORECASE,
)
A_FINDING = re.compile(
    r"benign|malign|normal|abnormal|health|control|patholog|positiv|negativ|cancer|tumou?r|lesion|cyst|carcinom|adenom"
    r"|pneumon|tubercul|covid|fractur|diseas|sick|finding|effusion|edema|stroke|h(a)?emorrh|grade|stage|class|birads",
    re.IGNORECASE,
)


class Placed(NamedTuple):
    """What the folders on the way to a scan say of it; "" where they say nothing."""

    label: str
    split: str = ""
    site: str = ""


def class_folders(scans: Sequence[Named]) -> list[Placed] | None:
    """The class, split and site of each scan by the folders that it lies in, where the folders are classes; and say so.

    `FOLDER/benign`, `FOLDER/train/benign`, `FOLDER/benign/train` and `FOLDER/site/benign` are told apart so: a level of
    folders is splits when its names are train, val, test and the like; classes when its 2 to 20 names read like
    classes, which patients' folders, series, dates and views do not. Of two levels that could be classes the one that
    names findings is; else the lower one, where its names repeat in the folders of the upper one, which then are sites,
    and the upper one where they do not. Folders that are one a patient are no classes.

    Returns:
        For each scan, or None.
    """
    if not scans:
        return None
    parts = [scan.files[0].relative_to(scan.root).parts[:-1] for scan in scans]
    depth = min(DEEPEST, min(map(len, parts)))
    levels = [[part[level] for part in parts] for level in range(depth)]
    levels = [names for names in levels if len(set(names)) > 1]
    split = next((names for names in levels if _are_splits(names)), None)
    others = [names for names in levels if names is not split]
    classes, sites = _classes_and_sites(others)
    if classes is None or _one_a_patient(classes, scans):
        return None
    placed = [
        Placed(name, SPLIT_WORDS[split[i].lower()] if split else "", sites[i] if sites else "")
        for i, name in enumerate(classes)
    ]
    found = [f"classes: {_counts(classes)}"]
    found += [f"splits: {_counts([each.split for each in placed])}"] if split else []
    found += [f"sites: {_counts(sites)}"] if sites else []
    say(f"no labels file, but folders that look like {'; like '.join(found)}; give --labels if they are not")
    return placed


def _classes_and_sites(levels: Sequence[list[str]]) -> tuple[list[str] | None, list[str] | None]:
    """Which of the first levels are the classes, and which the sites, where that can be told."""
    if not levels or not _could_be_classes(levels[0]):
        return None, None
    if len(levels) > 1 and _could_be_classes(levels[1]) and _repeat(levels[0], levels[1]) and not _findings(levels[0]):
        return levels[1], levels[0]
    return levels[0], None


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
    return len(counts) in CLASSES and min(counts.values()) > 1 and all(_reads_like_a_class(name) for name in counts)


def _findings(names: Sequence[str]) -> bool:
    return any(A_FINDING.search(name) for name in set(names))


def _reads_like_a_class(name: str) -> bool:
    hexadecimal = re.fullmatch(r"[0-9a-fA-F]{8,}", name)
    return not (
        NOT_A_CLASS.fullmatch(name) or A_VIEW.fullmatch(name) or hexadecimal or len(re.findall(r"\d", name)) > 4
    )


def _one_a_patient(folders: Sequence[str], scans: Sequence[Named]) -> bool:
    """Whether it is an archive's export, a folder a patient."""
    of_folder = defaultdict(set)
    for folder, scan in zip(folders, scans, strict=True):
        of_folder[folder].add(scan.patient)
    patients = set().union(*of_folder.values()) - {""}
    return bool(patients) and (
        len(of_folder) == len(patients) or all(len(mine) == 1 and "" not in mine for mine in of_folder.values())
    )


def _counts(names: Sequence[str]) -> str:
    return ", ".join(f"{name} ({count:,})" for name, count in sorted(Counter(names).items()))
