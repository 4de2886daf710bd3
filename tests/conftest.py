"""Where the tests find scans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """The scans that travel with the package."""
    return ROOT / "sample_data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The developers' real scans, beside the checkout."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here: the developers' real scans lie beside the checkout")
    return folder


@pytest.fixture(autouse=True)
def private_places(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key and the cache of a test are its own."""
    monkeypatch.setenv("MEDTL_KEY", "a key for the tests")
    monkeypatch.setenv("MEDTL_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def kale() -> Any:
    """The losses of pykale, which pip does not install beside us: 0.1 wants an older Python, 0.2 an older pandas."""
    why = "to compare with it: pip install --no-deps --ignore-requires-python pykale==0.1.2"
    return pytest.importorskip("kale.predict.losses", reason=why, exc_type=ImportError)
