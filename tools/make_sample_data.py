"""Make `sample_data/` from the developers' real scans: `python tools/make_sample_data.py`.

The pixels are real and unchanged. Every DICOM header is written here: names, spacing, file layout. The two ultrasound
sites are made to differ as hospitals do, see `sample_data/README.md`, which this script writes too. The same input
gives the same bytes: patients are drawn by a seed, identifiers are hashes.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.fileset import FileSet
from pydicom.uid import (
    UID,
    BasicTextSRStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    UltrasoundImageStorage,
)

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"
SCANS = 190  # a site, so that all stays under 20 MB
SEED = 2024
DEPTH = 40.0  # mm from top to bottom of a Brazilian picture: a usual setting for the breast, not known for these
BRAINS = ("IXI160-HH-1637_T1.nii.gz", "IXI609-HH-2600_T1.nii.gz")  # a woman and a man, the smallest files of each
MADE_BY = UID("2.25.297063812763543610234791857262530190210")  # this script, as "implementation"
# What BUS-BRA calls a scanner -> Manufacturer, ManufacturerModelName
SCANNERS = {
    "GE Logiq 7": ("GE Medical Systems", "LOGIQ 7"),
    "GE Logiq 5": ("GE Medical Systems", "LOGIQ 5"),
    "Toshiba Aplio 300": ("TOSHIBA_MEC_US", "Aplio 300"),
    "U-Systems": ("U-Systems", "somo.v"),
}


def main() -> None:
    """Write everything anew."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shared", type=Path, default=SHARED, help="the developers' real scans")
    parser.add_argument("--out", type=Path, default=ROOT / "sample_data")
    arguments = parser.parse_args()
    make(arguments.shared, arguments.out)
    size = sum(file.stat().st_size for file in arguments.out.rglob("*") if file.is_file())
    print(f"{arguments.out}: {size / 1e6:.1f} MB")


def make(shared: Path, out: Path, scans: int = SCANS) -> None:
    """Write the sample data, about `scans` ultrasound scans a site, in place of what `out` held."""
    table = pd.read_csv(shared / "ultrasound" / "labels.csv")
    for site, write in (("brazil", write_brazil), ("egypt", write_egypt)):
        folder = out / site
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        write(choose(table[table.site == site], scans), shared / "ultrasound", folder)
    write_brains(shared / "brain-mr", out / "brain-mr")
    (out / "README.md").write_text(README, encoding="utf-8")


def choose(table: pd.DataFrame, scans: int) -> pd.DataFrame:
    """About `scans` rows: all scans of patients drawn by seed, each class with the share that it has in the set."""
    chosen: list[str] = []
    for label, rows in table.groupby("label", sort=True):
        patients = np.sort(rows.patient.unique())
        np.random.default_rng([SEED, len(str(label))]).shuffle(patients)
        counts = rows.patient.value_counts()[patients].cumsum()
        enough = round(scans * len(rows) / len(table))
        chosen.extend(counts.index[: int(np.searchsorted(counts.to_numpy(), enough)) + 1])
    return table[table.patient.isin(chosen)].sort_values(["patient", "file"]).reset_index(drop=True)


def write_brazil(rows: pd.DataFrame, source: Path, folder: Path) -> None:
    """A flat folder, uncompressed, MONOCHROME2, with pixel spacing and scanner."""
    files = []
    for number, row in enumerate(rows.itertuples(), 1):
        pixels = picture(source / str(row.file))
        dataset = ultrasound(pixels, "BRAZIL", str(row.patient), str(row.file))
        scanner = str(row.scanner).split("@")[0].strip()
        dataset.Manufacturer, dataset.ManufacturerModelName = SCANNERS[scanner]
        dataset.PixelSpacing = [f"{DEPTH / len(pixels):.5f}"] * 2
        dataset.set_pixel_data(pixels, "MONOCHROME2", 8, generate_instance_uid=False)
        files.append(f"us{number:04d}.dcm")
        dataset.save_as(folder / files[-1], enforce_file_format=True)
    labels = rows[["patient", "label", "scanner"]].copy()
    labels.insert(0, "file", files)
    labels.to_csv(folder / "labels.csv", index=False, lineterminator="\n")


def write_egypt(rows: pd.DataFrame, source: Path, folder: Path) -> None:
    """An archive's export: nested, compressed, of three photometric kinds, with things that are not scans."""
    archive = FileSet()
    archive.ID, archive.UID = "MEDTL", uid("egypt", "file set")
    for number, row in enumerate(rows.itertuples()):
        pixels = picture(source / str(row.file))
        dataset = ultrasound(pixels, "EGYPT", str(row.patient), str(row.file))
        compress(dataset, pixels, number)
        archive.add(dataset)
    archive.add(report("EGYPT", str(rows.patient[0])))
    archive.write(folder)
    path = {
        str(instance.SOPInstanceUID): Path(instance.path).relative_to(folder).as_posix()
        for instance in archive
        if instance.Modality == "US"
    }
    labels = rows[["patient", "label"]].copy()
    labels.insert(0, "file", [path[uid(str(file))] for file in rows.file])
    labels.to_csv(folder / "labels.csv", index=False, lineterminator="\n")
    whole = folder / labels.file[len(labels) - 1]
    cut = whole.with_name("IM999999")
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (folder / "EXPORT.TXT").write_text("Export of breast ultrasound, written by tools/make_sample_data.py\n")


def compress(dataset: Dataset, pixels: np.ndarray, number: int) -> None:
    """Store pixels without loss as the `number`-th of an archive that grew over the years.

    Of twelve files four are MONOCHROME2, four MONOCHROME1 and four RGB. RGB in JPEG 2000 goes through its reversible
    colour transform (YBR_RCT), as usual, which keeps it small; one of the four is in JPEG-LS, which has none.
    """
    kind = ("MONOCHROME2", "MONOCHROME1", "RGB")[number % 3]
    syntax = JPEGLSLossless if number % 12 in (1, 5, 6, 7, 9) else JPEG2000Lossless
    stored = {"MONOCHROME2": pixels, "MONOCHROME1": 255 - pixels, "RGB": np.repeat(pixels[..., None], 3, -1)}[kind]
    dataset.set_pixel_data(stored, kind, 8, generate_instance_uid=False)
    if kind == "RGB" and syntax == JPEG2000Lossless:
        dataset.PhotometricInterpretation = "YBR_RCT"
    dataset.compress(syntax, stored, generate_instance_uid=False)


def write_brains(source: Path, folder: Path) -> None:
    """Two volumes as they are, with sex as the label."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    table = pd.read_csv(source / "labels.csv")
    table = table[table.file.isin(BRAINS)].rename(columns={"sex": "label"})
    for file in BRAINS:
        shutil.copyfile(source / file, folder / file)
    table[["file", "patient", "label", "age"]].to_csv(folder / "labels.csv", index=False, lineterminator="\n")


def picture(path: Path) -> np.ndarray:
    """The pixels (rows, columns) uint8 of a grey JPEG."""
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))


def uid(*parts: str) -> UID:
    """The same identifier for the same parts, under the root for UUIDs."""
    digest = hashlib.sha256("/".join(("medtl sample data", *parts)).encode()).digest()
    return UID(f"2.25.{int.from_bytes(digest[:16], 'big')}")


def ultrasound(pixels: np.ndarray, site: str, patient: str, file: str) -> Dataset:
    """A header without pixels: one study a patient, one series a picture."""
    dataset = patient_and_study(site, patient, file, UltrasoundImageStorage)
    dataset.Modality = "US"
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    dataset.BodyPartExamined = "BREAST"
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "01"  # the source is JPEG
    dataset.Rows, dataset.Columns = pixels.shape
    return dataset


def report(site: str, patient: str) -> Dataset:
    """A structured report, which is no image."""
    dataset = patient_and_study(site, patient, f"report of {patient}", BasicTextSRStorage)
    dataset.Modality = "SR"
    dataset.CompletionFlag, dataset.VerificationFlag = "COMPLETE", "UNVERIFIED"
    dataset.ContentDate, dataset.ContentTime = "20000101", "000000"
    dataset.ValueType, dataset.ContinuityOfContent = "CONTAINER", "SEPARATE"
    dataset.ReferencedPerformedProcedureStepSequence, dataset.PerformedProcedureCodeSequence = [], []
    dataset.ConceptNameCodeSequence = [code("18748-4", "LN", "Diagnostic imaging report")]
    text = Dataset()
    text.RelationshipType, text.ValueType = "CONTAINS", "TEXT"
    text.ConceptNameCodeSequence = [code("121071", "DCM", "Finding")]
    text.TextValue = "Made up for the sample data: says nothing about anybody."
    dataset.ContentSequence = [text]
    return dataset


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """One coded concept."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def patient_and_study(site: str, patient: str, file: str, sop_class: UID) -> Dataset:
    """What every object says of its patient, study and series; all of it made up, save that patients stay apart."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = sop_class
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = uid(file)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.ImplementationClassUID, dataset.file_meta.ImplementationVersionName = MADE_BY, "MEDTL_SAMPLE"
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.PatientName, dataset.PatientID = f"MADE-UP^{site} {patient.upper()}", patient
    dataset.PatientBirthDate, dataset.PatientSex = "", "F"
    dataset.PatientIdentityRemoved, dataset.DeidentificationMethod = "YES", "By the publishers of the set"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid(patient, "study"), uid(file, "series")
    dataset.StudyID, dataset.SeriesNumber, dataset.InstanceNumber = "1", 1, 1
    dataset.StudyDate, dataset.StudyTime = "20000101", "000000"  # made up
    dataset.AccessionNumber = dataset.ReferringPhysicianName = dataset.Manufacturer = ""
    return dataset


README = """\
# Sample data

What `medtl demo` and the tests run on, made by `tools/make_sample_data.py` (same seed, same bytes). **The pixels are
real; every DICOM header was written by the script**: names, dates, identifiers and the pixel spacing are made up. Not
for diagnosis.

| folder | what | how it is stored |
|---|---|---|
| `brazil/` | breast ultrasound, benign or malignant | flat, uncompressed, MONOCHROME2, scanner and spacing known |
| `egypt/` | the same question at another hospital | an archive's export, compressed, of mixed kinds, neither known |
| `brain-mr/` | two T1 volumes of the head, a woman and a man | NIfTI |

`egypt/` is nested by patient, study and series, under opaque names, in JPEG 2000 or JPEG-LS, both lossless. A third is
MONOCHROME2, a third MONOCHROME1 (stored inverted, so that it looks the same) and a third RGB (most of it in JPEG 2000's
own colour transform, YBR_RCT). It also holds what lies about in real exports and is no scan: a `DICOMDIR`, a text
file, a structured report and one file that was cut off (`IM999999`).

Each site has a `labels.csv` (`file` is relative to it). Patients were drawn whole: all scans of a patient are here or
none, 190 or so scans a site, each class with the share that it has in the full set.

- `ManufacturerModelName` in `brazil/` comes from the set's own `scanner` column (kept in `labels.csv`).
- `PixelSpacing` in `brazil/` is not known for these pictures: the script writes 40 mm from top to bottom.
- MONOCHROME1 is not among the kinds that the standard lists for ultrasound; archives hold it all the same.
- The publishers' pictures were shrunk to a longest side of 256 and saved as JPEG of one quality for both sites, so
  that file history tells nothing about the site or the label. The pixels here are those of that JPEG.

## Credit and licence

These files keep their own licences; the licence of medtl does not cover them.

- `brazil/`: **BUS-BRA**. W. Gómez-Flores, M. J. Gregorio-Calas, W. Coelho de Albuquerque Pereira, "BUS-BRA: a breast
  ultrasound dataset for assessing computer-aided diagnosis systems", Medical Physics, 2023. Free to use, modify and
  redistribute, citing the paper.
- `egypt/`: **BUSI**. W. Al-Dhabyani, M. Gomaa, H. Khaled, A. Fahmy, "Dataset of breast ultrasound images", Data in
  Brief 28, 104863, 2020. Open, citing the paper (a mirror states CC BY 4.0; the original text was not seen).
- `brain-mr/`: **IXI**, Hammersmith Hospital, <https://brain-development.org>. CC BY-SA 3.0. Shrunk to voxels of 2 mm
  by the developers.
"""


if __name__ == "__main__":
    main()
