"""The same picture under two names: exactly, by the hash of its pixels, or nearly, by a perceptual hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from medtl.progress import warn
from medtl.scans.manifest import SPLITS, Manifest
from medtl.scans.scan import Scan

HASH_SIDE = 16  # the perceptual hash has 16 x 16 bits
NEAR = 40  # bits of 256; see `near_duplicates`
WINDOW = (1.0, 99.0)  # percentiles of the picture that become black and white
BLOCK = 1024  # pictures compared with as many others at once, in 4 MiB, which the processor's cache holds


def fingerprint(scan: Scan) -> str:
    """16 hex digits of the SHA-256 of the pixels and their shape, in whatever file they lie; "" for an even area."""
    pixels = np.ascontiguousarray(scan.pixels)
    if not pixels.size or pixels.min() == pixels.max():
        return ""  # an empty frame is no sign that two patients are one
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(pixels.data)
    return digest.hexdigest()[:16]


def perceptual_hash(scan: Scan) -> str:
    """64 hex digits (256 bits) of the middle slice's perceptual hash; "" for an even area.

    The signs of the lowest 16 x 16 frequencies of its cosine transform about their median (imagehash.phash), grey, of
    the range between the 1st and 99th percentile: another size, file format or brightness hardly changes it.
    """
    from imagehash import phash  # brings SciPy's transforms along
    from PIL import Image

    picture = scan.pixels[len(scan.pixels) // 2]
    if scan.colour:
        picture = picture.mean(axis=-1)
    side = HASH_SIDE * 4  # what phash makes of it; done here, so that the percentiles are of few values
    small = np.asarray(
        Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0), dtype=np.float32
    )
    low, high = np.percentile(small, WINDOW)
    if not high > low:
        return ""
    grey = (np.clip((small - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    return str(phash(Image.fromarray(grey), hash_size=HASH_SIDE))


def near_duplicates(hashes: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Pairs (i < j) of pictures whose perceptual hashes differ in at most `NEAR` = 40 of 256 bits.

    How 40 was chosen: of the 54 pairs that the publishers of the `egypt` ultrasound set call near-duplicates, all
    differ by at most 36 bits. This set has 35 more pairs within 40 bits; all of the 14 that were looked at seem to be
    frames of the same woman. Between different patients of the Brazilian and Polish ultrasound, both tuberculosis sets,
    the NIH radiographs and 1,200 of Guangzhou, and across all of these sites, none of 9.7 million pairs is within 40
    bits (a false pair is rarer than 1 in 3 million) and three are within 44; of 1.1 million pairs of blood cells from
    Barcelona the nearest is at 76. Pictures with little in them come nearer: 5 in 100,000 pairs of MNIST digits. The 64
    bits that imagehash takes by default are too few: radiographs of different patients are only 2 of them apart.

    Args:
        hashes: N times 64 hex digits, "" where there is none.
    """
    texts = list(hashes)
    rows = np.array([i for i, text in enumerate(texts) if len(text) == HASH_SIDE**2 // 4])
    if len(rows) < 2:
        return
    packed = np.frombuffer(bytes.fromhex("".join(texts[i] for i in rows)), np.uint8).reshape(len(rows), -1)
    for start in range(0, len(rows), BLOCK):
        mine = _signs(packed[start : start + BLOCK])
        for at in range(start, len(rows), BLOCK):
            # the product of signs is 256 - 2 x (bits that differ): a matrix product counts them all at once
            alike = mine @ _signs(packed[at : at + BLOCK]).T >= HASH_SIDE**2 - 2 * NEAR
            for i, j in zip(*np.nonzero(np.triu(alike, 1) if at == start else alike), strict=True):
                yield int(rows[start + i]), int(rows[at + j])


def _signs(packed: np.ndarray) -> np.ndarray:
    """Bits (N, 32 bytes) as -1 and 1, float32 (N, 256)."""
    return np.unpackbits(packed, axis=1).astype(np.float32) * 2 - 1


def group_patients(manifest: Manifest, near: bool = False) -> Manifest:
    """The manifest with its column `group` made anew: who must stay in one split.

    Joined are rows of one patient, volumes of one file, rows of one group as it was, rows of equal pixels, and, if
    `near` is asked for or the manifest has no groups yet, near-duplicates; those only as far as no split is given for
    them, since such a pair is not proof. A scan without a split that is near some of several splits joins those of the
    last (train, calibrate, test); pairs that are given different splits stay apart, and are warned of. A group is named
    by the first of its patients, or of its scans where no patient is known, in sorted order. Rows that are not "ok"
    join nothing but their patient and their file.
    """
    frame = manifest.frame
    joined = _Sets(len(frame))
    joined.join_equal(frame.patient)
    joined.join_equal(manifest.shared_files)
    usable = frame.status == "ok"
    if "group" in frame:
        joined.join_equal(frame.group)
    if "fingerprint" in frame:
        joined.join_equal(frame.fingerprint.where(usable, ""))
    if "phash" in frame and (near or "group" not in frame):
        _join_near(joined, frame)
    roots = pd.Series([joined.root(i) for i in range(len(frame))], index=frame.index, dtype=np.int64)
    patients = frame.patient.where(frame.patient != "").groupby(roots).transform("min")
    names = patients.fillna(frame.scan_id.groupby(roots).transform("min"))
    return Manifest(frame.assign(group=names), manifest.files)


def _join_near(joined: _Sets, frame: pd.DataFrame) -> None:
    """Join the near-duplicates that no given split keeps apart; how many it keeps apart is said, once."""
    usable = frame.status == "ok"
    pairs = list(near_duplicates(frame.phash.where(usable, "")))
    given = _given_splits(joined, frame.split.where(usable, ""))
    torn = 0
    to_given = []
    for i, j in pairs:
        one, other = given.get(joined.root(i), ""), given.get(joined.root(j), "")
        torn += one != other and bool(one and other)
        if bool(one) != bool(other):
            to_given.append((i, j) if other else (j, i))
    splits = {j: given[joined.root(j)] for _, j in to_given}
    for i, j in pairs:
        if joined.root(i) not in given and joined.root(j) not in given:
            joined.join(i, j)
    last: dict[int, str] = {}
    for i, j in to_given:
        root = joined.root(i)
        last[root] = max(last.get(root, splits[j]), splits[j], key=SPLITS.index)
    joins = [(i, j) for i, j in to_given if splits[j] == last[joined.root(i)]]
    for i, j in joins:
        joined.join(i, j)
    if torn:
        warn(
            f"{torn:,} pair{'s' * (torn > 1)} of nearly the same picture stand in different splits, which were given: "
            "they stay there; if they are of one person, give them one split"
        )


def _given_splits(joined: _Sets, splits: pd.Series) -> dict[int, str]:
    """The split of each set of rows that has one; of several the last of train, calibrate, test."""
    given: dict[int, str] = {}
    for i, split in enumerate(splits):
        if split:
            root = joined.root(i)
            given[root] = max(given.get(root, split), split, key=SPLITS.index)
    return given


class _Sets:
    """Disjoint sets of 0..n-1 (union-find)."""

    def __init__(self, n: int) -> None:
        self.parent = list(range(n))

    def root(self, i: int) -> int:
        while self.parent[i] != i:
            self.parent[i] = self.parent[self.parent[i]]
            i = self.parent[i]
        return i

    def join(self, i: int, j: int) -> None:
        i, j = sorted((self.root(i), self.root(j)))
        self.parent[j] = i

    def join_equal(self, keys: pd.Series) -> None:
        """Join the rows whose key is the same and not empty."""
        first: dict[str, int] = {}
        for i, key in enumerate(keys):
            if key:
                self.join(first.setdefault(key, i), i)
