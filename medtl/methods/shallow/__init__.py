"""Shallow methods on cached features: one file a method, one line here."""

from medtl.methods.features import FeatureMethod
from medtl.methods.shallow.coral import CORAL
from medtl.methods.shallow.label_propagation import LabelPropagation
from medtl.methods.shallow.optimal_transport import OptimalTransport
from medtl.methods.shallow.reweighted import Reweighted
from medtl.methods.shallow.standardise import Standardise
from medtl.methods.shallow.subspace_alignment import SubspaceAlignment
from medtl.methods.shallow.tca import TCA

FEATURE_METHODS: dict[str, type[FeatureMethod]] = {
    "standardise": Standardise,
    "coral": CORAL,
    "subspace-alignment": SubspaceAlignment,
    "tca": TCA,
    "optimal-transport": OptimalTransport,
    "label-propagation": LabelPropagation,
    "reweighted": Reweighted,
}

__all__ = ["FEATURE_METHODS"]
