"""From logits to probabilities that mean what they say. A calibrator is one small file and one line in CALIBRATORS."""

from medtl.trust.calibrators.beta import fit_beta
from medtl.trust.calibrators.histogram import fit_histogram
from medtl.trust.calibrators.isotonic import fit_isotonic
from medtl.trust.calibrators.maps import (
    Calibrator,
    Map,
    Scaling,
    map_from_dict,
    map_to_dict,
    probabilities_of,
)
from medtl.trust.calibrators.matrix import fit_matrix
from medtl.trust.calibrators.platt import fit_platt
from medtl.trust.calibrators.temperature import fit_temperature
from medtl.trust.calibrators.temperatures import fit_temperatures
from medtl.trust.calibrators.vector import fit_vector

CALIBRATORS: dict[str, Calibrator] = {
    "temperature": fit_temperature,
    "platt": fit_platt,
    "vector": fit_vector,
    "matrix": fit_matrix,
    "beta": fit_beta,
    "isotonic": fit_isotonic,
    "histogram": fit_histogram,
    "temperatures": fit_temperatures,
}

__all__ = [
    "CALIBRATORS",
    "Calibrator",
    "Map",
    "Scaling",
    "fit_platt",
    "fit_temperature",
    "map_from_dict",
    "map_to_dict",
    "probabilities_of",
]
