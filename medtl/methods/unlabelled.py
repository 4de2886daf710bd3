"""What methods share that learn from their own predictions at the target."""

from __future__ import annotations

from typing import Any

from medtl.models import Classifier, Output, look
from medtl.models.batch_statistics import for_site


def look_at_home(classifier: Classifier, cohort: Any) -> Output:
    """What a classifier gives for each scan of a cohort, with the batch statistics of that cohort.

    The running ones are the source's at first and then a mixture, by which a new site's scans may all look alike.
    """
    return look(for_site(classifier, cohort, classifier.fixed), cohort)
