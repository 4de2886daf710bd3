"""How fast a folder becomes a manifest, and files a `Scan`, beside pydicom, MONAI and SimpleITK.

    python benchmarks/reading.py [--files 10000] [--only index|series|memory] [--repeats 5] [--quick] [--again]

Indexing: the GE series of `dcm_qa_nih`, copied under new UIDs and patients (patched in the bytes, so that each copy is
laid out as the scanner wrote it), by `medtl.scans.index_folders` without its cache, beside a loop that calls pydicom's
`dcmread(stop_before_pixels=True)` on each file and looks at nothing, in one process and in two. medtl groups, checks a
slice of each series' pixels, hashes and splits besides. Each measurement is a process of its own (imports not counted),
in turns. Then `medtl index` from the shell, starting included: until the first line of progress, the whole first
time, and again with nothing changed.

Series: files to voxels by `medtl.scans.read_scan`, MONAI's `LoadImage()` as it comes, and SimpleITK's
`ImageSeriesReader` with GDCM's sorting of the names, in turns, in one process; medtl's voxels are checked against
SimpleITK's. MONAI and SimpleITK leave a Siemens mosaic a mosaic.

Memory: the peak of indexing small PNG pictures, and of its largest worker.

Times are medians, and the quickest and slowest of the repeats stand in brackets; files were read once before, so they
come from memory, not from the disk.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from _rows import RESULTS, Rows, machine, markdown

DICOM = Path(__file__).resolve().parents[2] / "shared" / "data" / "dicom"
GE = DICOM / "dcm_qa_nih" / "In" / "20180918GE"
MOSAIC = DICOM / "dcm_qa_nih" / "In" / "20180918Si" / "mr_0003"
SYNTAXES = DICOM / "dcm_qa_ts" / "In"
# digits of the GE files' UIDs: of the scanner's (series, instances, references) and of the study's
SCANNER, STUDY, PATIENT = b"5282380.4562341", b"2094312156645", b"DEV "


# --- indexing -------------------------------------------------------------------------------------------------------


def copies(folder: Path, files: int) -> int:
    """Copies of the two GE series, each under its own UIDs and patient, until there are `files` files; whole series.

    Returns:
        how many files there are.
    """
    made = 0
    series = [sorted(each.glob("*.dcm")) for each in sorted(GE.iterdir()) if each.is_dir()]
    for number in range(1, 10**6):
        into = folder / f"{number:05}"
        into.mkdir()
        for file in series[number % len(series)]:
            (into / file.name).write_bytes(renamed(file.read_bytes(), number))
            made += 1
        if made >= files:
            return made
    raise SystemExit("too many files")


def renamed(content: bytes, number: int) -> bytes:
    """The bytes of a GE file under the UIDs and the patient of copy `number`: as many, all else as it was."""
    digits = b"%d" % (1_000_000 + number)  # of a UID, so without a nought before it
    patient = content.index(b"\x10\x00\x20\x00LO\x04\x00" + PATIENT) + 8
    content = content[:patient] + b"%04d" % number + content[patient + 4 :]
    return content.replace(SCANNER, SCANNER[:-7] + digits).replace(STUDY, STUDY[:-7] + digits)


def every_file(folder: Path) -> list[str]:
    return [os.path.join(where, name) for where, _, names in os.walk(folder) for name in sorted(names)]  # noqa: PTH118


def pydicom_loop(files: Sequence[str]) -> int:
    import pydicom

    return sum(bool(pydicom.dcmread(file, stop_before_pixels=True)) for file in files)


def by_pydicom(folder: Path) -> int:
    return pydicom_loop(every_file(folder))


def by_pydicom_in_two(folder: Path) -> int:
    import joblib

    files = every_file(folder)
    chunks = [files[at : at + 500] for at in range(0, len(files), 500)]
    return sum(joblib.Parallel(n_jobs=2)(joblib.delayed(pydicom_loop)(chunk) for chunk in chunks))


def by_medtl(folder: Path) -> int:
    from medtl.scans import index_folders

    return int(index_folders(folder, use_cache=False).frame["n_files"].astype(int).sum())


def by_medtl_in_one(folder: Path) -> int:
    from medtl.scans import work

    work.PAYS = work.MANY = math.inf
    return by_medtl(folder)


CHILDREN: dict[str, Callable[[Path], int]] = {
    "medtl": by_medtl,
    "medtl, one process": by_medtl_in_one,
    "pydicom": by_pydicom,
    "pydicom, two processes": by_pydicom_in_two,
}


def child(name: str, folder: Path) -> None:
    """Do one thing in this process and print what it took."""
    import pydicom  # noqa: F401 - imports are not counted

    import medtl.scans.index  # noqa: F401
    from medtl import progress

    progress.set_mode("quiet")
    began = time.perf_counter()
    files = CHILDREN[name](folder)
    seconds = time.perf_counter() - began
    of_worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024  # of a copy of this process: all its own
    print(json.dumps({"seconds": seconds, "files": files, "peak": peak_memory(), "worker": of_worker}))


def peak_memory() -> float:
    """MiB at most since this program began; `ru_maxrss` is at least what its parent held when it started this one."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def in_a_child(name: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", name, "--folder", str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{name} failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def whole_command(folder: Path, out: Path, cache: Path) -> tuple[float, float]:
    """Run `medtl index` as a user does; seconds until its first line, and until it ends."""
    command = [sys.executable, "-m", "medtl", "index", str(folder), "-o", str(out), "--force"]
    environment = {**os.environ, "MEDTL_CACHE": str(cache), "PYTHONUNBUFFERED": "1"}
    began = time.perf_counter()
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
    assert run.stdout is not None
    first = run.stdout.read(1)
    until_first = time.perf_counter() - began
    rest = run.stdout.read()
    if run.wait():
        raise SystemExit(f"medtl index failed: {(first + rest).decode()[-500:]}")
    return until_first, time.perf_counter() - began


def measure_index(files: int, repeats: int) -> dict[str, Any]:
    with a_folder() as folder:
        scans = folder / "scans"
        scans.mkdir()
        number = copies(scans, files)
        times: dict[str, list[float]] = {name: [] for name in CHILDREN}
        for repeat in range(-1, repeats):  # the first warms the disk's cache
            for name in turns(CHILDREN, repeat):
                found = in_a_child(name, scans)
                if found["files"] != number:
                    raise SystemExit(f"{name} saw {found['files']} files of {number}")
                if repeat >= 0:
                    times[name].append(found["seconds"])
        shell: dict[str, list[float]] = {"first line": [], "first time": [], "again": []}
        for repeat in range(max(2, repeats // 2 + 1)):
            cache = folder / f"cache {repeat}"
            until_first, until_end = whole_command(scans, folder / "m.csv", cache)
            shell["first line"].append(until_first)
            shell["first time"].append(until_end)
            shell["again"].append(whole_command(scans, folder / "m.csv", cache)[1])
        return {"files": number, "times": times, "shell": shell}


def index_table(found: dict[str, Any]) -> str:
    times = found["times"]
    lines = []
    for name, seconds in times.items():
        ratios = [theirs / ours for theirs, ours in zip(times["pydicom"], seconds, strict=True)]
        each = f"{1e6 * statistics.median(seconds) / found['files']:.0f} µs"
        lines.append([name, spread(seconds, "s"), each, f"{statistics.median(ratios):.1f} times as fast"])
    names = {
        "first line": "`medtl index`: until its first line of progress",
        "first time": "`medtl index`: the whole, nothing known",
        "again": "`medtl index`: the whole, nothing changed",
    }
    lines += [[names[name], spread(seconds, "s"), "", ""] for name, seconds in found["shell"].items()]
    return markdown([f"indexing {found['files']:,} DICOM files", "time", "a file", "beside pydicom"], lines)


# --- series ---------------------------------------------------------------------------------------------------------


def made_ct(folder: Path, slices: int = 300, size: int = 512) -> list[Path]:
    """A CT of smooth values with noise, int16 in HU, one uncompressed file a slice, in an order unlike the slices'."""
    import numpy as np
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    noise = np.random.default_rng(0)
    y, x = np.mgrid[0:size, 0:size] / size
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    files: list[Path] = []
    for number in noise.permutation(slices):
        values = 600 * np.sin(6 * x + number / 40) * np.cos(5 * y) - 200 + noise.normal(0, 20, (size, size))
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, generate_uid()
        dataset.Modality, dataset.Manufacturer, dataset.PatientID = "CT", "none", "made"
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = study, series, frame
        dataset.InstanceNumber = int(number) + 1
        dataset.ImagePositionPatient = [-180.0, -180.0, float(number)]
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.PixelSpacing, dataset.SliceThickness = [0.703125, 0.703125], 1
        dataset.Rows = dataset.Columns = size
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
        dataset.PixelData = (values + 1024).astype("<i2").tobytes()
        files.append(folder / f"{len(files):04}.dcm")
        dataset.save_as(files[-1], enforce_file_format=True)
    return files


def one_time_point(files: Sequence[Path]) -> list[Path]:
    """The first file at each place."""
    import pydicom

    by_place: dict[tuple[float, ...], tuple[int, Path]] = {}
    for file in files:
        dataset = pydicom.dcmread(file, stop_before_pixels=True)
        place, number = tuple(map(float, dataset.ImagePositionPatient)), int(dataset.InstanceNumber)
        by_place[place] = min(by_place.get(place, (number, file)), (number, file))
    return [file for _, file in by_place.values()]


def series(folder: Path, slices: int = 300) -> dict[str, list[Path]]:
    """Name -> the files of one series, which lie in a folder of their own, as MONAI and SimpleITK want it."""
    import pydicom.data

    ct = Path(pydicom.data.__file__).parent / "test_files" / "dicomdirtests" / "98892001" / "CT5N"
    wanted = {
        "GE functional MR, one time point": one_time_point(sorted((GE / "mr_0004").glob("*.dcm"))),
        "Siemens mosaic": sorted(MOSAIC.glob("*.dcm"))[:1],
        "CT of pydicom (CT5N)": sorted(ct.iterdir()),
    }
    for file in sorted(SYNTAXES.glob("*.dcm")):
        name = pydicom.dcmread(file, stop_before_pixels=True).file_meta.TransferSyntaxUID.name
        wanted[f"{file.stem}: {name.partition(' (')[0]}"] = [file]
    found = {}
    for number, (name, files) in enumerate(wanted.items()):
        into = folder / str(number)
        into.mkdir()
        found[name] = [Path(shutil.copy(file, into / file.name)) for file in files]
    (folder / "ct").mkdir()
    found[f"CT of {slices} slices, 512 x 512"] = made_ct(folder / "ct", slices)
    return found


def series_by_medtl(files: Sequence[Path]) -> Any:
    from medtl.scans import read_scan

    return read_scan(files)


@functools.cache
def monai_loader() -> Callable[[Path], Any]:
    """MONAI's reader as it comes, made once."""
    from monai.transforms import LoadImage

    return LoadImage()


def series_by_monai(files: Sequence[Path]) -> Any:
    return monai_loader()(files[0] if len(files) == 1 else files[0].parent)


def series_by_sitk(files: Sequence[Path]) -> Any:
    import SimpleITK as sitk  # noqa: N813

    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(files[0].parent)))
    return reader.Execute()


READERS: dict[str, Callable[[Sequence[Path]], Any]] = {
    "medtl": series_by_medtl,
    "MONAI": series_by_monai,
    "SimpleITK": series_by_sitk,
}


def measure_series(files: Sequence[Path], repeats: int) -> dict[str, Any]:
    """Seconds by reader, in turns; none for one that cannot read it."""
    import numpy as np
    import SimpleITK as sitk  # noqa: N813

    warnings.simplefilter("ignore")
    cannot: dict[str, str] = {}
    first: dict[str, Any] = {}
    for name, read in READERS.items():  # imports, and the disk's cache
        try:
            first[name] = read(files)
        except Exception as error:
            cannot[name] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    if "medtl" in cannot:
        raise SystemExit(f"medtl cannot read {files[0]}: {cannot['medtl']}")
    if "SimpleITK" in first:
        expected = sitk.GetArrayViewFromImage(first["SimpleITK"]).astype(np.float64).sum()
        if not np.isclose(first["medtl"].pixels.astype(np.float64).sum(), expected, rtol=1e-6):
            raise SystemExit(f"medtl and SimpleITK read other voxels from {files[0]}")
    del first
    times: dict[str, list[float]] = {name: [] for name in READERS if name not in cannot}
    for repeat in range(repeats):
        for name in turns(times, repeat):
            began = time.perf_counter()
            READERS[name](files)
            times[name].append(time.perf_counter() - began)
    return {"times": times, "cannot": cannot}


def series_table(rows: dict[str, dict[str, Any]]) -> str:
    lines = []
    for name, found in rows.items():
        ours = found["times"]["medtl"]
        line = [name, spread(ours, "ms")]
        for other in ("MONAI", "SimpleITK"):
            theirs = found["times"].get(other)
            if theirs is None:
                line += ["cannot", ""]
                continue
            ratio = statistics.median(a / b for a, b in zip(theirs, ours, strict=True))
            line += [spread(theirs, "ms"), f"{ratio:.2f}"]
        lines.append(line)
    header = ["series", "medtl", "MONAI", "times medtl's", "SimpleITK", "times medtl's"]
    return markdown(header, lines)


# --- memory ---------------------------------------------------------------------------------------------------------


def pictures(folder: Path, number: int, size: int = 24) -> None:
    """PNG pictures of noise, a thousand a folder."""
    import numpy as np
    from PIL import Image

    noise = np.random.default_rng(0)
    for start in range(0, number, 1000):
        into = folder / f"{start:06}"
        into.mkdir()
        stack = noise.integers(0, 256, (min(1000, number - start), size, size), dtype=np.uint8)
        for at, picture in enumerate(stack):
            Image.fromarray(picture).save(into / f"{at:03}.png", compress_level=1)


def measure_memory(number: int) -> dict[str, Any]:
    with a_folder() as folder:
        pictures(folder, number)
        return in_a_child("medtl", folder)


def memory_table(rows: dict[int, dict[str, Any]]) -> str:
    lines = [
        [f"{number:,}", f"{found['peak']:.0f} MiB", f"{found['worker']:.0f} MiB", f"{found['seconds']:.0f} s"]
        for number, found in rows.items()
    ]
    return markdown(["pictures indexed", "peak memory", "of its largest worker", "time"], lines)


# --- all ------------------------------------------------------------------------------------------------------------


@contextmanager
def a_folder() -> Iterator[Path]:
    """A temporary folder, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="medtl-reading-") as folder:
        yield Path(folder)


def turns(names: Iterable[str], repeat: int) -> list[str]:
    """The names in an order of their own each time, so that none always follows the same."""
    return random.Random(repeat).sample(list(names), len(list(names)))


def spread(seconds: Sequence[float], unit: str) -> str:
    """Median, quickest and slowest: "1.20 s (1.15 to 1.31)"."""
    scale = 1000 if unit == "ms" else 1
    middle, low, high = (scale * value for value in (statistics.median(seconds), min(seconds), max(seconds)))
    digits = 1 if middle >= 10 else 2
    return f"{middle:.{digits}f} {unit} ({low:.{digits}f} to {high:.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000, help="to index")
    parser.add_argument("--only", choices=("index", "series", "memory"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="20,000 pictures for the memory, not 100,000")
    parser.add_argument("--again", action="store_true", help="forget what was measured before")
    parser.add_argument("--child", choices=CHILDREN, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child, given.folder)
        return
    if given.again:
        (RESULTS / "reading.jsonl").unlink(missing_ok=True)
    rows = Rows(RESULTS / "reading.jsonl")
    if given.only in (None, "index"):
        key = {"what": "index", "files": given.files, "repeats": given.repeats}
        print(index_table(rows.row(key, lambda: measure_index(given.files, given.repeats))["result"]), end="\n\n")
    if given.only in (None, "series"):
        with a_folder() as folder:
            found = {}
            for name, files in series(folder).items():
                repeats = 4 * given.repeats if len(files) < 100 else given.repeats
                key = {"what": "series", "name": name, "repeats": repeats}
                found[name] = rows.row(key, lambda: measure_series(files, repeats))["result"]  # noqa: B023
        print(series_table(found), end="\n\n")
        for name, each in found.items():
            for reader, why in each["cannot"].items():
                print(f"{reader} cannot read {name}: {why}")
    if given.only in (None, "memory"):
        peaks = {}
        for number in (2_000, 20_000 if given.quick else 100_000):
            key = {"what": "memory", "pictures": number}
            peaks[number] = rows.row(key, lambda: measure_memory(number))["result"]  # noqa: B023
        print(memory_table(peaks), end="\n\n")
    print(machine())


if __name__ == "__main__":
    main()
