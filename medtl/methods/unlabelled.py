"""What methods share that learn from their own predictions at the target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medtl.errors import InputError
from medtl.models import Classifier, Output, look
from medtl.models.batch_statistics import for_site


def look_at_home(classifier: Classifier, cohort: Any) -> Output:
    """What a classifier gives for each scan of a cohort, with the batch statistics of that cohort.

    The running ones are the source's at first and then a mixture, by which a new site's scans may all look alike.
    """
    return look(for_site(classifier, cohort, classifier.fixed), cohort)


def one_label_a_scan(name: str, data: Mapping[str, Any]) -> None:
    """See whether a method that takes a scan's likeliest class for its label can do with these roles.

    Raises:
        InputError: a scan can have several labels.
    """
    if any(getattr(role.cohort, "multilabel", False) for role in data.values()):
        raise InputError(
            f"{name} knows one label a scan only, and some scans have several: use mean-teacher or dann, or adapt for "
            "each label by itself"
        )
