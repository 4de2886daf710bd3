"""The documents that go with a model, in the report and as files beside it."""

from __future__ import annotations

from typing import NamedTuple

from medtl.reports import checklist, model_card
from medtl.reports.contents import ReportData
from medtl.reports.documents import Section, markdown


class Paper(NamedTuple):
    """One document."""

    name: str  # of its file, without .md
    title: str
    lead: str
    sections: tuple[Section, ...]


def papers(data: ReportData) -> tuple[Paper, ...]:
    """Model card and checklist; none where several Runs are compared, since each is about one model."""
    if data.compares_runs:
        return ()
    return (
        Paper("model_card", model_card.TITLE, model_card.LEAD, model_card.model_card(data)),
        Paper("checklist", checklist.TITLE, checklist.LEAD, checklist.checklist(data)),
    )


def as_markdown(paper: Paper, data: ReportData) -> str:
    """The document as a file of its own."""
    return markdown(f"{paper.title}: {data.title}", f"{paper.lead} {data.created}".strip(), paper.sections)
