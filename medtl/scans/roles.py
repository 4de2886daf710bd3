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

PERSONAL = {"name", "patientname", "birthdate", "patientbirthdate", "dateofbirth", "dob", "mrn", "ssn", "address"}
PERSONAL |= {"phone", "email", "accession", "accessionnumber", "firstname", "lastname", "surname", "givenname"}
PERSONAL |= {"familyname", "fullname", "medicalrecordnumber", "nhsnumber", "zip", "zipcode", "postcode"}


def plain(name: str) -> str:
    """A column's name in lower case, without spaces, dots, dashes and underscores."""
    return re.sub(r"[\s._-]", "", name).lower()


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
