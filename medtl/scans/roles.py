"""What the columns of a labels file are for, told by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable

# What a column is for -> the names that it goes by, in lower case and without spaces, dots, dashes and underscores.
ROLES = {
    "file": ("file", "filename", "filepath", "path", "image", "imagefile", "imagepath", "imagename", "img"),
    "scan_id": ("scanid",),
    "series": ("series", "seriesuid", "seriesinstanceuid", "seriesid"),
    "study": ("study", "studyuid", "studyinstanceuid", "studyid"),
    "patient": ("patient", "patientid", "subject", "subjectid", "participant", "participantid"),
    "label": ("label", "labels", "class", "diagnosis"),
    "site": ("site", "hospital", "centre", "center", "institution"),
    "split": ("split",),
}
NAMES = ("file", "scan_id", "series", "study", "patient")  # what a row can be joined by, the most exact first

# A column is about the person by its whole name, by a word of it, or by words in a row, all in lower-case letters.
PERSONAL = {"name", "zip", "birth", "address", "initials", "contact", "email", "phone", "mobile", "accession"}
PERSONAL_WORDS = {"mrn", "ssn", "dob", "yob", "phone", "telephone", "email", "pesel"}
PERSONAL_RUNS = (
    *("birthdate", "dateofbirth", "dateofpatientbirth", "yearofbirth", "birthyear", "birthday", "patientbirth"),
    *("patientsbirth", "patientname", "patientsname", "nameofpatient", "nameofthepatient", "subjectname", "personname"),
    *("participantname", "firstname", "lastname", "surname", "forename", "givenname", "familyname", "fullname"),
    *("maidenname", "middlename", "physician", "operatorname", "operatorsname", "patientaddress", "patientsaddress"),
    *("homeaddress", "accessionn", "accessionid", "phonenumber", "emailaddress", "postcode", "postalcode", "zipcode"),
    *("medicalrecord", "nhsn", "insurancen", "socialsecurity", "nationalid", "passport"),
)
PATIENT = re.compile(
    r"(patient|subject|participant|person|hospital|case|chart|record)s?"
    r"(id|ids|identifier|no|nr|num|number|code|key|index)[a-z]*|.*(patient|subject|participant)s?(id|identifier)([a-z]*)"
)


def plain(name: str) -> str:
    """A column's name in lower case, without spaces, dots, dashes and underscores."""
    return re.sub(r"[\s._-]", "", name).lower()


def _letters(name: str) -> str:
    """A column's name as nothing but lower-case letters."""
    return re.sub(r"[^a-z]", "", name.lower())


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())


def is_personal(name: str) -> bool:
    """Whether a column holds what tells who a person is: a name, a birth date, a hospital's number, an address."""
    letters = _letters(name)
    return (
        letters in PERSONAL
        or not PERSONAL_WORDS.isdisjoint(_words(name))
        or any(run in letters for run in PERSONAL_RUNS)
    )


def role_of_more(name: str) -> str:
    """The role of a column that names patient, study or series beside the one that is joined by; "" of any other.

    What it holds tells who a person is as that does: a `PatientID` beside a pseudonym, a `StudyInstanceUID 2`.
    """
    letters = _letters(name)
    for role in ("series", "study", "patient"):
        if letters in ROLES[role]:
            return role
    if "UID" in name or "uid" in _words(name) or "instanceuid" in letters:
        return "series" if "series" in letters else "study"
    return "patient" if PATIENT.fullmatch(letters) else ""


def has_role(name: str, roles: Iterable[str]) -> bool:
    """Whether a column goes by a name of one of these roles."""
    return any(plain(name) in ROLES[role] for role in roles)


def roles_of(columns: Iterable[str]) -> dict[str, str]:
    """A role of `ROLES` -> the column that has it; of several the one whose name stands first there."""
    columns = list(columns)
    found = {
        role: [column for name in names for column in columns if plain(column) == name] for role, names in ROLES.items()
    }
    return {role: fits[0] for role, fits in found.items() if fits}
