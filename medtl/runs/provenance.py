"""Where a Run comes from: the versions, the kind of machine, the seed. Never who ran it, on which host, or where."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from typing import Any

PACKAGES = (
    *("torch", "timm", "numpy", "monai", "scikit-learn", "onnxruntime"),
    *("pillow", "scipy", "scikit-image", "SimpleITK", "pydicom", "nibabel"),  # what makes the pixels
)


def provenance(seed: int | None = None, **digests: str) -> dict[str, Any]:
    """What somebody needs to make the same Run again.

    Args:
        seed: the seed of the run.
        digests: named digests of what went in, such as `source=manifest.digest()`.

    Returns:
        `versions` (medtl, python and the packages that decide the numbers), `machine` (system, processor, number of
        cores, accelerator), `seed` and `digests`. No host name, no user name, no path.
    """
    return {"versions": versions(), "machine": machine(), "seed": seed, "digests": dict(digests)}


def versions() -> dict[str, str]:
    """The versions that decide the numbers; a package that is not installed is left out. Imports none of them."""
    found = {"medtl": medtl_version(), "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def medtl_version() -> str:
    """The version of this package; "0+checkout" where it runs from a checkout that was not installed."""
    version = getattr(sys.modules.get("medtl"), "__version__", None)
    if isinstance(version, str):
        return version
    try:
        return metadata.version("medtl")
    except metadata.PackageNotFoundError:
        return "0+checkout"


def machine() -> dict[str, Any]:
    """The kind of machine: what may change the last digits of a number, and nothing that names the place."""
    return {
        "system": platform.system(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "accelerator": _accelerator(),
    }


def _accelerator() -> str:
    torch = sys.modules.get("torch")
    if torch is None:
        return ""
    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name(0))
    return "Apple GPU" if torch.backends.mps.is_available() else ""
