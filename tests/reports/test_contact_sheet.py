"""The contact sheet shows every scan, names nobody, asks no network, and opens in a browser."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medtl.errors import InputError
from medtl.reports import contact_sheet
from medtl.reports.contact_sheet import write_contact_sheet
from medtl.reports.thumbnails import SIDE, thumbnail
from medtl.scans import Manifest, Scan, arrays, read, source
from medtl.scans.manifest import COLUMNS


def table(rows: list[dict[str, str]]) -> Manifest:
    others = sorted({name for row in rows for name in row} - set(COLUMNS))
    return Manifest(pd.DataFrame(rows, columns=[*COLUMNS, *others], dtype=object).fillna(""))


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Forty pictures at one site, the sick ones larger; a file that is none, and one that is damaged."""
    random = np.random.default_rng(0)
    rows = []
    for i in range(40):
        sick = i % 2 == 0
        path = tmp_path / f"Zenobia{i}.png"
        Image.fromarray(random.integers(0, 255, (60 + 20 * sick, 50), np.uint8)).save(path)
        rows.append(
            {
                "scan_id": f"{i:012x}",
                "patient": "P-0000abcd" if i == 0 else f"Quirinius {i}",
                "site": "clinic",
                "path": str(path),
                "label": "" if i == 39 else ("sick" if sick else "well"),
                "split": "train",
                "status": "ok",
                "size": "80 x 50" if sick else "60 x 50",
                "notes": "burned in: text; time 1 of 2" if i == 1 else "",
            }
        )
    damaged = tmp_path / "Zenobia damaged.png"
    damaged.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    rows.append({"scan_id": "e" * 12, "site": "clinic", "path": str(damaged), "status": "ok"})
    aside = {"scan_id": "f" * 12, "site": "<b>&", "status": "set aside", "reason": "a PDF document: </script> /home/me"}
    return table([*rows, aside])


def cards(page: str) -> list[dict]:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def test_every_row_has_its_tile_with_picture_or_reason(manifest, tmp_path):
    out = write_contact_sheet(manifest, tmp_path / "sheet.html")
    found = {card["id"]: card for card in cards(out.read_text(encoding="utf-8"))}
    assert list(found) == list(manifest.frame.scan_id)
    for i in range(40):
        card = found[f"{i:012x}"]
        picture = Image.open(io.BytesIO(base64.b64decode(card["picture"])))
        assert picture.format == "JPEG" and max(picture.size) == SIDE
        assert (card["site"], card["split"], card["status"]) == ("clinic", "train", "ok")
    assert found["e" * 12]["status"] == "unreadable" and "damaged" in found["e" * 12]["reason"]
    assert not found["e" * 12]["picture"] and not found["f" * 12]["picture"]
    assert found[f"{1:012x}"]["problems"] == ["burned in"]  # a stack's name is none
    assert found[f"{39:012x}"]["problems"] == ["no label"]
    assert found["f" * 12]["problems"] == ["a PDF document"]


def test_it_names_nobody_and_no_place(manifest, tmp_path):
    unmatched = [
        {"what": "row without scan", "row": "17", "name": "Zenobia", "label": "sick", "scan_id": "", "path": ""},
        {
            "what": "scan without row",
            "row": "",
            "name": "P-0123abcd",
            "label": "",
            "scan_id": "a" * 12,
            "path": "Zenobia",
        },
    ]
    text = write_contact_sheet(manifest, tmp_path / "sheet.html", unmatched=unmatched).read_text(encoding="utf-8")
    for secret in ("Zenobia", "Quirinius", str(tmp_path), "/home/me"):
        assert secret not in text
    assert "P-0000abcd" in text and "P-0123abcd" in text  # hashed names may stand
    assert "row without scan" in text and ">17<" in text


def test_it_asks_nothing_of_the_network(manifest, tmp_path):
    text = write_contact_sheet(manifest, tmp_path / "sheet.html").read_text(encoding="utf-8")
    assert "http" not in text and "@import" not in text
    assert not re.search(r"(?:src|href)\s*=", text.replace("image.src = ", "").replace(" + row.picture", ""))
    assert text.count("</script>") == 2 and "<b>&" not in text


def test_what_gives_the_label_away_is_said(manifest, tmp_path, capsys):
    text = write_contact_sheet(manifest, tmp_path / "sheet.html").read_text(encoding="utf-8")
    said = "What should not tell the label does: rows (AUROC 1.00, 0.87 to 1.00)"
    assert said in text and said in capsys.readouterr().err


def test_facts_and_title_and_counts(manifest, tmp_path):
    out = write_contact_sheet(manifest, tmp_path / "sheet.html", facts=[("modalities", "US 40 <i>")])
    text = out.read_text(encoding="utf-8")
    assert "<dt>modalities</dt><dd>US 40 &lt;i&gt;</dd>" in text
    assert "<h1>Scans of clinic</h1>" in text and "<b>41</b><small>scans</small>" in text


def test_it_replaces_nothing_unasked(manifest, tmp_path):
    out = tmp_path / "sheet.html"
    out.write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        write_contact_sheet(manifest, out)
    assert out.read_text() == "mine"
    write_contact_sheet(manifest, out, force=True)


def test_an_empty_manifest_and_one_without_scans_make_a_sheet(tmp_path):
    for number, manifest in enumerate(
        (table([]), table([{"scan_id": "a", "status": "set aside", "reason": "a text"}]))
    ):
        text = write_contact_sheet(manifest, tmp_path / f"{number}.html").read_text(encoding="utf-8")
        assert len(cards(text)) == number


def test_real_scans_are_drawn(sample_data, tmp_path):
    files = sorted((sample_data / "brain-mr").glob("*.nii.gz"))[:1] + sorted((sample_data / "brazil").glob("*.dcm"))[:2]
    rows = [{"scan_id": str(i), "path": str(file), "status": "ok"} for i, file in enumerate(files)]
    text = write_contact_sheet(table(rows), tmp_path / "sheet.html").read_text(encoding="utf-8")
    assert all(card["picture"] for card in cards(text))


def test_what_many_scans_share_is_unpacked_once(tmp_path, monkeypatch):
    """An .npz of many pictures, and a packed time series of many volumes."""
    random = np.random.default_rng(0)
    np.savez_compressed(
        tmp_path / "x.npz",
        train_images=random.integers(0, 255, (60, 150, 150), dtype=np.uint8),
        train_labels=np.arange(60)[:, None] % 2,
    )
    series = random.integers(0, 900, (32, 32, 20, 30)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(series, np.diag([3.0, 3, 4, 1])), tmp_path / "bold.nii.gz")
    rows = [
        {"scan_id": f"{name}{i:03}", "path": str(tmp_path / name), "volume": str(i), "status": "ok"}
        for name, count in (("x.npz/train_images.npy", 60), ("bold.nii.gz", 30))
        for i in range(count)
    ]
    times = []
    arrays._load_once.cache_clear()
    source._kept.clear()
    for name in ("_whole", "_checked"):
        plain = getattr(source, name)
        monkeypatch.setattr(source, name, lambda *given, plain=plain: times.append(1) or plain(*given))
    text = write_contact_sheet(table(rows), tmp_path / "sheet.html").read_text(encoding="utf-8")
    assert len(times) == 2 and all(card["picture"] for card in cards(text))


def test_a_report_of_many_targets_asks_more_of_each(manifest, tmp_path, monkeypatch):
    asked = []
    plain = contact_sheet.find_shortcuts
    monkeypatch.setattr(
        contact_sheet, "find_shortcuts", lambda *given, **named: asked.append(named) or plain(*given, **named)
    )
    write_contact_sheet(manifest, tmp_path / "one.html")
    manifest.frame.loc[::2, "site"] = "other"
    write_contact_sheet(manifest, tmp_path / "two.html")
    assert asked == [{"targets": 1}, *[{"targets": 3}] * 3]


# --- thumbnails ----------------------------------------------------------------------------------------------------


def test_a_thumbnail_is_windowed_by_the_header_if_it_can():
    pixels = np.linspace(-1000, 3000, 64 * 64, dtype=np.float32).reshape(1, 64, 64)
    grey = thumbnail(Scan(pixels, None, "CT", header={"window_center": 40.0, "window_width": 400.0}))
    row = int((200 + 1000) / 4000 * SIDE)
    assert grey[: row - 20].max() == 0 and grey[row + 8 :].min() == 255
    even = thumbnail(Scan(pixels, None, "CT"))
    assert even[:2].max() < 10 and even[-2:].min() > 245 and 100 < even[SIDE // 2].mean() < 155


def test_padding_does_not_set_the_window():
    pixels = np.random.default_rng(0).uniform(0, 100, (1, 64, 64)).astype(np.float32)
    pixels[0, :40] = -2000
    assert thumbnail(Scan(pixels, None, "CT", header={"padding": (-2000, -2000)}))[80:].std() > 40
    assert thumbnail(Scan(pixels, None, "CT"))[80:].std() < 10


def test_pixels_that_are_not_square_become_so():
    scan = Scan(np.random.default_rng(0).random((1, 40, 40), np.float32), None, "MR", (5.0, 2.0, 1.0))
    assert thumbnail(scan).shape == (SIDE, SIDE // 2)
    assert thumbnail(Scan(np.zeros((1, 30, 60, 3), np.float32))).shape == (SIDE // 2, SIDE, 3)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_even_and_broken_pictures_are_drawn(value):
    assert thumbnail(Scan(np.full((1, 1, 7), value, np.float32))).shape == (14, SIDE)


def test_a_volume_stands_upright_however_it_is_stored(sample_data):
    scan = read(next(iter(sorted((sample_data / "brain-mr").glob("*.nii.gz")))))
    upright = thumbnail(scan)
    turned = np.diag([-1.0, -1.0, 1.0, 1.0])
    turned[:2, 3] = np.array(scan.pixels.shape[:2]) - 1
    other = Scan(scan.pixels[::-1, ::-1], scan.affine @ turned, scan.modality, scan.spacing, scan.header)
    assert upright.ndim == 2 and max(upright.shape) == SIDE
    assert np.array_equal(thumbnail(other), upright)


@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not on this machine")
def test_a_browser_draws_filters_and_sorts(manifest, tmp_path):
    """Chromium runs the page, with a few lines that choose as a person would and write down what is shown."""
    out = write_contact_sheet(manifest, tmp_path / "sheet.html")
    steps = """<script>
      const at = id => document.getElementById(id), cards = () => document.querySelectorAll(".card"), told = [];
      const choose = (id, value) => { at(id).value = value; at(id).dispatchEvent(new Event("change")); };
      const note = () => told.push(`${cards().length} ${at("count").textContent} ${cards()[0].dataset.scan}`);
      note(); choose("label", "=sick"); note(); choose("sort", "id"); note();
      choose("label", "*"); choose("problem", "=burned in"); note();
      at("clear").click(); choose("status", "=unreadable"); note();
      choose("status", "*"); choose("sort", "problems"); note();
      const pre = document.createElement("pre");
      pre.id = "told"; pre.textContent = told.join("\\n"); document.body.append(pre);
    </script>"""
    out.write_text(out.read_text(encoding="utf-8").replace("</body>", steps + "</body>"), encoding="utf-8")
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    command = ["chromium", *flags.split(), "--disable-component-update", "--disable-sync"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", out.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    told = re.search(r'<pre id="told">(.*?)</pre>', dom, re.DOTALL)[1].splitlines()
    assert told == [
        f"42 42 scans and files {0:012x}",
        f"20 20 of 42 {0:012x}",
        f"20 20 of 42 {0:012x}",
        f"1 1 of 42 {1:012x}",
        f"1 1 of 42 {'e' * 12}",
        f"42 42 scans and files {1:012x}",
    ]
