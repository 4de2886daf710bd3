"""Words by which the name of a folder is a class's, a view's, or neither."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

# A word that starts so names a finding, or the absence of one, also with no, non, un or ab before it. None begins a
# person's name, nor a city's or a maker's, as far as is known: Benigni, Nevill, Colitti, Belgrade, Healthcare.
FINDINGS = (
    *("malign", "normal", "tumor", "tumour", "carcinom", "adenom", "adenocarcinom", "cancer", "neoplas", "cyst"),
    *(
        "lesion",
        "nodul",
        "polyp",
        "metasta",
        "lymphom",
        "leukaemi",
        "leukemi",
        "sarcom",
        "melanom",
        "gliom",
        "glioblastom",
    ),
    *("astrocytom", "meningiom", "pituitar", "schwannom", "fibroadenom", "papillom", "hemangiom", "haemangiom"),
    *(
        "dysplas",
        "metaplas",
        "hyperplas",
        "pneumoni",
        "pneumothora",
        "tubercul",
        "covid",
        "viral",
        "bacteri",
        "effusion",
    ),
    *(
        "infiltrat",
        "atelecta",
        "consolidat",
        "cardiomegal",
        "emphysem",
        "fibros",
        "opacit",
        "oedema",
        "fractur",
        "osteo",
    ),
    *("keratos", "keratot", "psoria", "eczema", "naevus", "retinopath", "glaucom", "cataract", "drusen", "macular"),
    *("ischem", "ischaem", "infarct", "hemorrh", "haemorrh", "stroke", "aneurysm", "stenos", "thrombo", "embolism"),
    *("cirrho", "steatos", "basophil", "eosinophil", "neutrophil", "lymphocyt", "monocyt", "erythroblast", "platelet"),
    *("myelo", "metamyelo", "promyelo", "infect", "parasit", "disease", "birads", "tirads", "pirads", "lirads"),
)
WHOLE = (  # words that do so as they stand
    *(
        "benign",
        "healthy",
        "positive",
        "negative",
        "control",
        "controls",
        "grade",
        "stage",
        "class",
        "finding",
        "findings",
    ),
    *(
        "pathological",
        "edema",
        "nevus",
        "nevi",
        "naevi",
        "blast",
        "blasts",
        "lympho",
        "dementia",
        "demented",
        "alzheimers",
    ),
    *("parkinsons", "arthritis", "appendicitis", "bronchitis", "colitis", "gastritis", "esophagitis", "oesophagitis"),
    *("hepatitis", "dermatitis", "bleeding"),
)
FINDING = re.compile(rf"(?:non|no|not|un|ab|micro|macro)?(?:(?:{'|'.join(FINDINGS)})[a-z]*|(?:{'|'.join(WHOLE)}))")
# Short ones, which could be a person's initials: two must stand side by side, one of those that tell.
TELLING = {
    "nv",
    "mel",
    "bkl",
    "akiec",
    "bcc",
    "amd",
    "cnv",
    "dme",
    "rvo",
    "pos",
    "yes",
    "tb",
    "mci",
    "adi",
    "tum",
    "calc",
}
SHORT = TELLING | {"vasc", "scc", "df", "erm", "rao", "vid", "dr", "neg", "no", "ptb", "ad", "cn", "back", "deb", "lym"}
SHORT |= {"muc", "mus", "norm", "str", "csr", "mass"}

# A word that says how a scan was taken or is stored, and by whom.
VIEW = re.compile(
    r"t1\w*|t2\w*|pd|flair|dwi|dti|adc|swi|bold|anat|func|fmap|trace|mprage|tse|tof|b\d+|scout|locali[sz]er|topogram|left|right"
    r"|l|r|od|os|[lr]?cc|[lr]?mlo|ap|pa|lat|lateral|frontal|axial|ax|coronal|cor|sagittal|sag|ct|mr|mri|us|pet|xr|cr|dx|mg"
    r"|raw|processed|original|images?|imgs?|png|jpe?g|tiff?|dicom|dcm|nifti|pre|post|baseline|followup|follow|fold\d*|male"
    r"|female|januar\w*|februar\w*|march|april|may|june|july|august|september|october|november|december"
)
# One that no class has, whatever else stands beside it: drawings, places, people.
DRAWN = re.compile(r"(masks?|annotations?|labels?|segmentations?|segs?|contours?|rois?|ground|truth|gt)\d*")
PLACE = re.compile(
    r"(hospitals?|clinics?|cent(er|re)|institute|university|department|healthcare|unit|ward|protocol|board)\d*"
)
PEOPLE = re.compile(r"(patients?|pts?|pat|subjects?|subj|sub|volunteers?|participants?)\d*")
NUMBERED = re.compile(
    r"(?:pat|patient|sub|subj|subject|case|study|series|st|se|p|s|im|img|image|images|dicom|dcm|scan|scans|exam|visit|ses"
    r"|session|ser|acc|data|train|training|val|valid|validation|test|testing|calibrate)?[-_ .]?[\d.\-_]*",
    re.IGNORECASE,
)
GRADES = range(2, 6)  # folders 0, 1, 2 ... that are classes by themselves: KL and APTOS have five


def words_of(name: str) -> list[str]:
    """The words of a folder's name, in lower case: "CT_NonCOVID2" is ct, non, covid, 2."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    return re.findall(r"[^\W_]+", parted.lower())


def names_a_finding(name: str) -> bool:
    """Whether a word of it names one: a disease, its absence, a grade, a kind of cell."""
    words = words_of(name)
    letters = [match for word in words for match in re.findall(r"[^\W\d]+", word)]
    pairs = [one + other for one, other in itertools.pairwise(letters)]  # bi rads
    return any(FINDING.fullmatch(word) for word in (*letters, *pairs))


def may_be_a_class(name: str) -> bool:
    """Whether it could be a class's name at all: those of patients, series, dates, views and places are not."""
    words = words_of(name)
    if _is_numbered(name) or any(DRAWN.fullmatch(word) or PLACE.fullmatch(word) for word in words):
        return False
    if any(map(PEOPLE.fullmatch, words)):
        return words == ["patients"]  # beside the controls
    return names_a_finding(name) or not any(map(VIEW.fullmatch, words))


def may_be_a_site(name: str) -> bool:
    """Whether it could be a hospital's name: those of patients, series, dates and views are not."""
    words = words_of(name)
    return not _is_numbered(name) and not any(
        kind.fullmatch(word) for kind in (DRAWN, PEOPLE, VIEW) for word in words if len(word) > 1
    )


def _is_numbered(name: str) -> bool:
    hexadecimal = re.fullmatch(r"[0-9a-fA-F]{8,}", name)
    return bool(NUMBERED.fullmatch(name) or hexadecimal or len(re.findall(r"\d", name)) > 4)


def are_grades(names: Sequence[str]) -> bool:
    """Whether they are the numbers from 0 on, all of them and no other."""
    each = set(names)
    return len(each) in GRADES and each == {str(number) for number in range(len(each))}


def are_findings(names: Sequence[str]) -> bool:
    """Whether folders are classes by their names: one names a finding, two are abbreviations, or all are grades."""
    each = set(names)
    short = {word for name in each if len(found := words_of(name)) == 1 and (word := found[0]) in SHORT}
    return are_grades(names) or any(map(names_a_finding, each)) or (len(short) > 1 and not short.isdisjoint(TELLING))
