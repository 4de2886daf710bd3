"""Splits by patient: nobody on both sides, every class in every split, whatever the order of the rows."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medtl.errors import InputError
from medtl.scans import Manifest, assign_splits, check_leaks, read_scan
from medtl.scans.duplicates import group_patients, perceptual_hash
from medtl.scans.manifest import COLUMNS, SPLITS

ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "patient": st.sampled_from(["", *(f"P-{i}" for i in range(12))]),
            "site": st.sampled_from(["brazil", "egypt"]),
            "label": st.sampled_from(["", "benign", "malignant", "benign;cyst"]),
            "split": st.sampled_from(["", "", "", "", *SPLITS]),
            "status": st.sampled_from(["ok", "ok", "ok", "unreadable"]),
        }
    ),
    min_size=1,
    max_size=40,
)


def manifest(rows: list[dict[str, str]]) -> Manifest:
    whole = [dict.fromkeys(COLUMNS, "") | {"scan_id": f"{i:012x}", "status": "ok"} | row for i, row in enumerate(rows)]
    return Manifest(pd.DataFrame(whole))


def patients(n: int, label: str = "benign", site: str = "egypt") -> list[dict[str, str]]:
    return [{"patient": f"P-{site}-{label}-{i}", "label": label, "site": site} for i in range(n)]


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(0, 3))
def test_what_always_holds(rows: list[dict[str, str]], seed: int) -> None:
    before = manifest(rows)
    after = assign_splits(before, seed)
    usable = after.usable.frame
    assert set(usable.split) <= set(SPLITS)
    given_splits = before.frame.split != ""
    assert (after.frame.split[given_splits] == before.frame.split[given_splits]).all()
    assert (after.frame.split[~given_splits & (after.frame.status != "ok")] == "").all()
    dealt = usable[~usable.scan_id.isin(before.frame.scan_id[given_splits])]
    assert (dealt.groupby("group").split.nunique() == 1).all()

    turned = assign_splits(before.select(before.frame.scan_id[::-1].tolist()), seed)
    assert turned.frame.set_index("scan_id").split.to_dict() == after.frame.set_index("scan_id").split.to_dict()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["x", "y", "x;y", "z"])), max_size=30), st.integers(0, 3)
)
def test_a_class_of_three_patients_is_in_every_split(who: list[tuple[str, str]], seed: int) -> None:
    if not who:
        return
    rows = [{"patient": f"P-{i}", "site": site, "label": label} for i, (site, label) in enumerate(who)]
    m = assign_splits(manifest(rows), seed)
    check_leaks(m)
    for name in m.classes:
        if "x" in name or "y" in name:
            continue  # a patient with both may be needed in two places
        has = m.frame[[name in label.split(";") for label in m.frame.label]]
        if len(has) >= 3:
            assert set(has.split) == set(SPLITS)


@pytest.mark.parametrize("seed", range(5))
def test_classes_spread_over_sites_with_one_patient_each(seed: int) -> None:
    rows = [row for site in "abc" for row in [*patients(1, "rare", site), *patients(20, "common", site)]]
    m = assign_splits(manifest(rows), seed)
    assert sorted(m.frame.split[m.frame.label == "rare"]) == sorted(SPLITS)


def test_shares_of_each_site_and_class() -> None:
    rows = [*patients(300), *patients(100, "malignant"), *patients(50, "malignant", "brazil")]
    m = assign_splits(manifest(rows))
    for _, stratum in m.frame.groupby(["site", "label"]):
        shares = stratum.split.value_counts(normalize=True)
        assert [round(shares[name], 2) for name in SPLITS] == pytest.approx([0.5, 0.2, 0.3], abs=0.011)
    assert (assign_splits(manifest(rows), seed=1).frame.split != m.frame.split).any()


def test_small_strata_do_not_all_round_the_same_way() -> None:
    rows = [row for i in range(60) for row in patients(1, site=f"site-{i}")]
    shares = assign_splits(manifest(rows)).frame.split.value_counts()
    assert [shares[name] for name in SPLITS] == pytest.approx([30, 12, 18], abs=1)


def test_real_hospitals(shared_data: object) -> None:
    table = pd.read_csv(f"{shared_data}/ultrasound/labels.csv", dtype=str).fillna("")
    m = assign_splits(manifest(table[["patient", "site", "label"]].to_dict("records")))
    check_leaks(m)
    shares = m.frame.groupby(["site", "label"]).split.value_counts(normalize=True).unstack()
    assert shares.sub(pd.Series(dict(zip(SPLITS, (0.5, 0.2, 0.3), strict=True)))).abs().max().max() < 0.03


def test_a_given_split_takes_the_patient_along() -> None:
    rows = [*patients(10), {"patient": "P-egypt-benign-3", "site": "egypt", "label": "benign", "split": "test"}]
    m = assign_splits(manifest(rows))
    assert m.frame.split[3] == "test"
    check_leaks(m)


def test_given_splits_count_towards_the_shares() -> None:
    rows = patients(100)
    for row in rows[:30]:
        row["split"] = "test"
    shares = assign_splits(manifest(rows)).frame.split.value_counts()
    assert [shares[name] for name in SPLITS] == [50, 20, 30]


def test_no_calibration_wanted() -> None:
    m = assign_splits(manifest(patients(10)), fractions=(0.7, 0.0, 0.3))
    assert dict(m.frame.split.value_counts()) == {"train": 7, "test": 3}
    with pytest.raises(InputError, match="sum to 1"):
        assign_splits(manifest(patients(10)), fractions=(0.7, 0.7, 0.3))


def test_leaks_within_and_across() -> None:
    torn = manifest([{"patient": "P-1", "split": "train"}, {"patient": "P-1", "split": "test"}])
    with pytest.raises(InputError, match=r"1 patient or their pictures .*P-1 in train and test"):
        check_leaks(torn)
    one, other = torn.select([f"{0:012x}"]), torn.select([f"{1:012x}"])
    check_leaks(one)
    check_leaks(other)
    with pytest.raises(InputError, match="P-1 in train and test"):
        check_leaks(one, other)


def test_a_leak_between_two_sides_says_which_and_what_to_do() -> None:
    source = manifest([{"patient": f"P-{i}", "split": "train"} for i in range(2)])
    target = manifest([{"path": f"/b{i}", "patient": f"P-{i}", "split": "test"} for i in range(2)])
    with pytest.raises(InputError) as caught:
        check_leaks(source, target, sides=("source", "target"))
    said = str(caught.value)
    assert "2 patients or their pictures stand in different splits of source and target" in said
    assert "(P-0 in the source's train and the target's test; P-1 in" in said
    assert "medtl index SOURCE TARGET" in said and "a prefix" in said and "empty the split column" not in said
    torn = manifest([{"path": f"/c{name}", "patient": "P-9", "split": name} for name in ("train", "test")])
    with pytest.raises(InputError, match=r"1 patient .*P-9 in the target's train and the target's test.*empty the spl"):
        check_leaks(source, torn, sides=("source", "target"))
    check_leaks(source, source, sides=("source", "target"))


def test_a_leak_of_the_very_same_scan_across_manifests() -> None:
    one, other = (manifest([{"path": "/a", "split": split}]) for split in ("train", "test"))
    with pytest.raises(InputError, match="scan 000000000000 in train and test"):
        check_leaks(one, other)
    check_leaks(one, one)


def test_the_key_that_hides_names_changes_no_split() -> None:
    rows = [row | {"fingerprint": f"{hash_:016x}"} for hash_, row in enumerate(patients(40) + patients(5, "cyst"))]
    renamed = [row | {"patient": f"P-{100 - i}"} for i, row in enumerate(rows)]
    assert list(assign_splits(manifest(renamed)).frame.split) == list(assign_splits(manifest(rows)).frame.split)


def test_a_leak_by_the_same_picture() -> None:
    rows = [
        {"patient": "P-1", "split": "train", "fingerprint": "f" * 16},
        {"patient": "P-2", "split": "test", "fingerprint": "f" * 16},
    ]
    with pytest.raises(InputError, match="P-1 = P-2 in train and test"):
        check_leaks(manifest(rows))


def test_a_picture_that_is_nearly_the_same_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    one = manifest([{"patient": "P-1", "split": "train", "phash": "0" * 64, "group": "P-1"}])
    other = manifest([{"path": "/b", "patient": "P-2", "split": "test", "phash": "0" * 63 + "1", "group": "P-2"}])
    check_leaks(one, other)
    assert "P-1 = P-2 in train and test" in capsys.readouterr().err


NEAR = ["0" * 64, "0" * 63 + "1", "0" * 63 + "3"]  # hashes of pictures that are nearly the same


def test_near_duplicates_of_an_official_split_stay_where_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """A publisher's split is kept and its scans are no group, since such a pair is not proof; it is warned of once."""
    rows = [{"phash": phash, "split": split} for phash, split in zip(NEAR, ("train", "test", "train"), strict=True)]
    indexed = group_patients(manifest(rows), near=True)
    assert indexed.frame.group.nunique() == 3
    assert "2 pairs of nearly the same picture stand in different splits, which were given" in capsys.readouterr().err
    dealt = assign_splits(indexed)
    assert dealt.frame.split.tolist() == ["train", "test", "train"]
    check_leaks(dealt)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_a_scan_near_one_of_a_given_split_follows_it(order: tuple[int, ...]) -> None:
    rows = [{"scan_id": f"s{i}", "phash": phash} for i, phash in enumerate(NEAR)]
    rows[1]["split"] = "test"
    m = assign_splits(group_patients(manifest([rows[i] for i in order]), near=True))
    assert set(m.frame.split) == {"test"}
    assert m.frame.group.nunique() == 1
    rows[0]["split"] = "train"
    torn = assign_splits(group_patients(manifest([rows[i] for i in order]), near=True))
    assert torn.frame.set_index("scan_id").split.to_dict() == {"s0": "train", "s1": "test", "s2": "test"}
    check_leaks(torn)
    freed = [row | {"split": ""} for row in rows]
    assert assign_splits(manifest(freed)).frame.group.nunique() == 1


def test_a_near_duplicate_of_a_patient_whose_other_scan_has_a_split() -> None:
    rows = [{"patient": "P-1", "split": "test"}, {"patient": "P-1", "phash": NEAR[0]}, {"phash": NEAR[1]}]
    assert set(assign_splits(manifest(rows)).frame.split) == {"test"}
    rows += [{"patient": "P-2", "split": "train"}, {"patient": "P-2", "phash": NEAR[2]}]
    m = assign_splits(manifest(rows))
    assert m.frame.split.tolist() == ["test", "test", "test", "train", "train"]


def test_the_volumes_of_a_file_stay_together_where_no_patient_is_known() -> None:
    files = [{"path": f"/s/{file}.nii.gz", "volume": str(volume)} for file in range(30) for volume in range(4)]
    m = assign_splits(manifest(files))
    assert (m.frame.groupby("path").split.nunique() == 1).all()
    assert m.frame.split.value_counts()[list(SPLITS)].tolist() == [60, 24, 36]
    torn = Manifest(m.frame.assign(split=["train", "test"] * 60, group=""))
    with pytest.raises(InputError, match="30 patients or their pictures stand in more than one split"):
        check_leaks(torn)


def test_the_pictures_of_an_array_are_each_their_own() -> None:
    m = assign_splits(manifest([{"path": "/s/a.npz/train_images.npy", "volume": str(i)} for i in range(100)]))
    assert m.frame.split.value_counts()[list(SPLITS)].tolist() == [50, 20, 30]


def test_cells_that_are_nearly_the_same_picture_stay_together(shared_data: Path) -> None:
    """No patient is known of the blood cells, and Jiangxi's set has pictures that are nearly the same."""
    folder = shared_data / "cells" / "jiangxi"
    names = sorted(folder.iterdir())
    rows = [
        {"path": str(file), "site": "jiangxi", "phash": perceptual_hash(read_scan([file])), "patient": ""}
        for file in names
    ]
    dealt = [assign_splits(manifest(rows), seed).frame for seed in range(4)]
    groups = dealt[0].groupby("group").path.agg(list)
    together = {frozenset(Path(path).stem for path in paths) for paths in groups[groups.map(len) > 1]}
    assert frozenset({"157", "158"}) in together
    assert all((frame.groupby("group").split.nunique() == 1).all() for frame in dealt)
    for frame in dealt:
        check_leaks(Manifest(frame))
    pair = dealt[0].path.str.contains(r"/157\.jpg|/158\.jpg")
    torn = dealt[0].assign(split="train")
    torn.loc[pair[pair].index[0], "split"] = "test"
    with pytest.raises(InputError, match=r"scan [0-9a-f]{12} = scan [0-9a-f]{12} in train and test"):
        check_leaks(Manifest(torn))


def test_each_site_and_class_has_its_share_of_the_test() -> None:
    rows = [row for site, n in (("a", 60), ("b", 20)) for name in ("x", "y") for row in patients(n, name, site)]
    rows += [{"patient": f"P-{i}", "site": "a", "label": ""} for i in range(40)]
    tested = assign_splits(manifest(rows)).frame.query("split == 'test'").groupby(["site", "label"]).size()
    assert tested.to_dict() == {("a", ""): 12, ("a", "x"): 18, ("a", "y"): 18, ("b", "x"): 6, ("b", "y"): 6}


def test_many_patients_with_a_leak_are_named_in_part() -> None:
    torn = [{"patient": f"P-{i:08x}", "split": split} for i in range(5) for split in ("train", "test")]
    with pytest.raises(InputError, match=r"5 patients .*P-00000000 in train and test; .*P-00000002.* and 2 more"):
        check_leaks(manifest(torn))
