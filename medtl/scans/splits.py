"""Who is for training, for calibration and for the test: by patient, and by nothing that looks at a picture."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import pandas as pd

from medtl.errors import InputError
from medtl.progress import warn
from medtl.scans.duplicates import group_patients, near_duplicates
from medtl.scans.manifest import SPLITS, Manifest

Group = str


def assign_splits(
    manifest: Manifest, seed: int = 0, fractions: tuple[float, float, float] = (0.5, 0.2, 0.3)
) -> Manifest:
    """Give every usable scan a split, all scans of a patient the same one.

    Patients are dealt within each site and label, so that every split has the shares of the whole; those who share a
    picture count as one, and so do those of nearly the same one for which no split is given (`duplicates`). A class
    with three patients or more is in every split. What the manifest has already in `split` is kept, and the patient's
    other scans follow it. The outcome hangs on the seed and the patients' pictures, not on the order of the rows, nor
    on the key that hides the patients' names: the same scans are dealt alike on every machine.

    Args:
        manifest: its rows that are not "ok" get no split.
        seed: another seed deals other patients.
        fractions: of train, calibrate, test; they sum to 1. The default leaves half for learning, about a third for a
            test whose patient bootstrap is narrow enough to read, and what a temperature and a threshold need (100 of
            500) between them.

    Raises:
        InputError: the fractions are not three shares of 1.
    """
    if len(fractions) != 3 or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise InputError(f"the fractions {fractions} are not three shares (train, calibrate, test) that sum to 1")
    frame = group_patients(manifest).frame
    usable = frame[frame.status == "ok"]

    strata = _strata(usable)
    draws = _draws(usable, seed)
    fixed = _fixed(usable)
    split: dict[Group, str] = dict(fixed)
    owed = dict.fromkeys(SPLITS, 0.0)
    for name in sorted(set(strata.values())):
        members = sorted((g for g in strata if strata[g] == name), key=draws.__getitem__)
        _deal(members, fixed, split, owed, dict(zip(SPLITS, fractions, strict=True)))
    wanted = [name for name, fraction in zip(SPLITS, fractions, strict=True) if fraction]
    classes = _classes_of(usable)
    _every_class_everywhere({g: classes[g] for g in sorted(classes, key=draws.__getitem__)}, fixed, split, wanted)

    dealt = frame.group.map(split).where(frame.status == "ok", "").fillna("")
    return Manifest(frame.assign(split=frame.split.where(frame.split != "", dealt)), manifest.files)


def check_leaks(*manifests: Manifest, sides: Sequence[str] = ()) -> None:
    """Check that no patient and no picture stands in more than one split, within and across the manifests.

    Near-duplicates that only meet here, because their folders were indexed one by one, are warned of and not refused:
    such a pair is not proof.

    Args:
        manifests: one or several.
        sides: what each of them is, such as "source" and "target"; unless told, they count as one.

    Raises:
        InputError: names the patients, and where they stand.
    """
    whole = _side_by_side(manifests)
    torn = _torn(group_patients(whole))
    within = [rows for rows in torn if not sides or not _differ_by_side(rows)]
    if within:
        together = "; folders that share patients are indexed in one command" if sides else ""
        raise InputError(
            f"{_patients_stand(within, sides, 'in more than one split')}: give all scans of a patient one split, or "
            f"empty the split column and it is dealt anew{together}"
        )
    if torn:
        where = f"in different splits of {' and '.join(sides)}"
        raise InputError(
            f"{_patients_stand(torn, sides, where)}: index both folders together (`medtl index SOURCE TARGET -o "
            "both.csv`), so that a patient of both gets one split, and save the rows of each as its manifest; or, "
            "where they are different people with like numbers, make the numbers differ, such as "
            "by a prefix in the column `patient` of a labels.csv"
        )
    if len(manifests) > 1:
        _warn_of_near_duplicates(whole, [number for number, each in enumerate(manifests) for _ in range(len(each))])


def _warn_of_near_duplicates(whole: Manifest, numbers: Sequence[int]) -> None:
    """Warn of pairs with different splits; those within one of the manifests, by their `numbers`, are known already."""
    frame = whole.frame
    if "phash" not in frame:
        return
    usable = (frame.status == "ok") & (frame.split != "")
    who = frame.patient.where(frame.patient != "", "scan " + frame.scan_id.str.partition(" ")[0]).tolist()
    splits, groups = frame.split.tolist(), frame.group.tolist()
    alike = [
        f"{' = '.join(sorted({who[i], who[j]}))} in {' and '.join(sorted((splits[i], splits[j]), key=SPLITS.index))}"
        for i, j in near_duplicates(frame.phash.where(usable, ""))
        if splits[i] != splits[j] and groups[i] != groups[j] and numbers[i] != numbers[j]
    ]
    if alike:
        warn(
            f"nearly the same picture stands in more than one split, {len(alike):,} pair{'s' * (len(alike) > 1)} "
            f"({_some(alike)}): index the folders in one command, and such scans stay together"
        )


def _side_by_side(manifests: Sequence[Manifest]) -> Manifest:
    """All rows of all manifests; `Manifest.concat` would drop a scan that stands in two, whatever its second split."""
    frames = [
        manifest.frame.assign(scan_id=manifest.frame.scan_id + f" {number}", group=manifest.groups)
        for number, manifest in enumerate(manifests)
    ]
    return Manifest(pd.concat(frames, ignore_index=True))


def _torn(manifest: Manifest) -> list[pd.DataFrame]:
    """The rows of each group that stands in more than one split."""
    frame = manifest.frame
    frame = frame[(frame.status == "ok") & (frame.split != "")]
    number = frame.groupby("group").split.nunique()
    torn = frame[frame.group.isin(number.index[number > 1])]
    return [rows for _, rows in torn.groupby("group")]


def _numbers(rows: pd.DataFrame) -> pd.Series:
    """Which of the manifests that stand side by side each row is of."""
    return rows.scan_id.str.rpartition(" ")[2].astype(int)


def _differ_by_side(rows: pd.DataFrame) -> bool:
    """Whether each of the manifests gives these rows one split, and one another than the other."""
    return bool((rows.split.groupby(_numbers(rows)).nunique() == 1).all())


def _patients_stand(torn: Sequence[pd.DataFrame], sides: Sequence[str], where: str) -> str:
    some = _some([_named(rows, sides) for rows in torn])
    return f"{len(torn)} patient{'s' * (len(torn) > 1)} or their pictures stand {where} ({some})"


def _named(rows: pd.DataFrame, sides: Sequence[str]) -> str:
    """Who stands where: `P-1 = P-2 in train and test`, or `P-1 in the source's train and the target's test`."""
    scans = {f"scan {scan_id.partition(' ')[0]}" for scan_id in rows.scan_id}
    who = sorted({name for name in rows.patient if name} or scans)
    numbers = _numbers(rows) if sides else [0] * len(rows)
    places = sorted({(number, SPLITS.index(name)) for number, name in zip(numbers, rows.split, strict=True)})
    stand = [f"the {sides[number]}'s {SPLITS[split]}" if sides else SPLITS[split] for number, split in places]
    return f"{' = '.join(who[:2])} in {' and '.join(stand)}"


def _some(names: Sequence[str]) -> str:
    return "; ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _draws(usable: pd.DataFrame, seed: int) -> dict[Group, tuple[bytes, Group]]:
    """The order in which patients are dealt: by the first of their pictures' hashes, else by their name."""
    prints = usable.get("fingerprint", pd.Series("", index=usable.index))
    first = prints.where(prints != "").groupby(usable.group).min().fillna("")
    names = {group: first[group] or group for group in first.index}
    encoded = {group: f"{seed}:{name}".encode("utf-8", "surrogateescape") for group, name in names.items()}
    return {group: (hashlib.sha256(code).digest(), group) for group, code in encoded.items()}


def _classes_of(usable: pd.DataFrame) -> dict[Group, set[str]]:
    classes: dict[Group, set[str]] = defaultdict(set)
    for group, label in zip(usable.group, usable.label, strict=True):
        classes[group] |= {name for name in label.split(";") if name}
    return classes


def _strata(usable: pd.DataFrame) -> dict[Group, tuple[str, str]]:
    """Each patient's site and label; of several labels the one that fewest patients have."""
    classes = _classes_of(usable)
    patients = Counter(name for names in classes.values() for name in names)
    sites = usable.groupby("group").site.min()
    return {
        group: (sites[group], min(classes[group], key=lambda name: (patients[name], name), default=""))
        for group in sites.index
    }


def _fixed(usable: pd.DataFrame) -> dict[Group, str]:
    """The patients whose split is given; where it is given twice, the later of train, calibrate, test."""
    fixed: dict[Group, str] = {}
    for group, split in zip(usable.group, usable.split, strict=True):
        if split:
            fixed[group] = max(split, fixed.get(group, split), key=SPLITS.index)
    return fixed


def _deal(
    members: Sequence[Group],
    fixed: Mapping[Group, str],
    split: dict[Group, str],
    owed: dict[str, float],
    fractions: Mapping[str, float],
) -> None:
    """Deal one stratum's patients in turn, each to the split that lacks most of its share.

    What a small stratum could not give a split is `owed` to it by the next, so that many small strata come out right.
    """
    free = [group for group in members if group not in fixed]
    taken = Counter(fixed[group] for group in members if group in fixed)
    lacks = {name: fractions[name] * len(members) - taken[name] + owed[name] for name in SPLITS}
    open_to = [name for name in SPLITS if fractions[name] > 0]
    if not taken and len(free) >= len(open_to):  # each at least once, the scarcest first
        for name in sorted(open_to, key=lambda name: lacks[name]):
            split[free[0]] = name
            lacks[name] -= 1
            free = free[1:]
    for group in free:
        name = max(open_to, key=lambda name: (lacks[name], name))
        split[group] = name
        lacks[name] -= 1
    for name in SPLITS:
        owed[name] = lacks[name] if not taken else 0.0


def _every_class_everywhere(
    classes: Mapping[Group, set[str]], fixed: Mapping[Group, str], split: dict[Group, str], names: Sequence[str]
) -> None:
    """Move patients until each class with enough of them is in every split, as far as given splits allow."""
    patients: dict[str, list[Group]] = defaultdict(list)
    for group, labels in classes.items():
        for label in labels:
            patients[label].append(group)
    for label in sorted(patients, key=lambda label: (len(patients[label]), label)):
        for name in names:
            count = Counter(split[group] for group in patients[label])
            if len(patients[label]) < len(names) or count[name]:
                continue
            movable = [
                group
                for group in patients[label]
                if group not in fixed
                and all(sum(split[other] == split[group] for other in patients[each]) > 1 for each in classes[group])
            ]
            if movable:
                split[max(movable, key=lambda group: count[split[group]])] = name
