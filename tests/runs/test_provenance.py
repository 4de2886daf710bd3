"""What provenance tells, and what it does not."""

from __future__ import annotations

import json
import platform
import subprocess
import sys

from medtl.runs.provenance import provenance


def test_versions_machine_seed_and_digests() -> None:
    found = provenance(7, source="abc")
    assert found["seed"] == 7
    assert found["digests"] == {"source": "abc"}
    assert {"medtl", "python", "torch", "timm", "numpy"} <= found["versions"].keys()
    assert {"pillow", "scipy", "scikit-image", "SimpleITK"} <= found["versions"].keys()  # what recipes compute with
    assert f'"{platform.node()}"' not in json.dumps(found)


def test_it_imports_nothing_heavy() -> None:
    code = "import sys; from medtl.runs.provenance import provenance; provenance(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
