"""Identifiers go in, the same hash comes out for the same key, and the key is one's own."""

from __future__ import annotations

import hashlib
import hmac
import stat
from pathlib import Path

import platformdirs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medtl.errors import InputError
from medtl.scans import privacy
from medtl.scans.privacy import HASHED, key, key_file, keyed_hash


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user with no MEDTL_KEY and an empty config folder."""
    monkeypatch.delenv("MEDTL_KEY")
    monkeypatch.setattr(platformdirs, "user_config_dir", lambda name: str(tmp_path / name))
    monkeypatch.setattr(privacy, "_keys", {})
    return tmp_path


def test_it_is_hmac_sha256(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDTL_KEY", "secret")
    expected = hmac.new(b"secret", b"12345", hashlib.sha256).hexdigest()
    assert keyed_hash("12345", "P-") == f"P-{expected[:8]}"
    assert keyed_hash("12345", length=12) == expected[:12]


@given(st.text())
def test_a_hash_is_not_hashed_again(text: str) -> None:
    once = keyed_hash(text, "P-")
    assert keyed_hash(once, "P-") == once
    assert once == "" if not text else HASHED.fullmatch(once)


def test_what_a_header_says_is_never_taken_for_a_hash() -> None:
    name = "P-20231234"
    assert keyed_hash(name, "P-") == name
    hidden = keyed_hash(name, "P-", from_header=True)
    assert hidden != name
    assert HASHED.fullmatch(hidden)
    assert keyed_hash("12345", "P-", from_header=True) == keyed_hash("12345", "P-")
    assert keyed_hash("", "P-", from_header=True) == ""


def test_another_key_gives_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    one = keyed_hash("12345", "P-")
    monkeypatch.setenv("MEDTL_KEY", "another key")
    assert keyed_hash("12345", "P-") != one


def test_the_key_is_made_once_and_for_the_user_alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = key()
    assert len(first) == 64
    assert stat.S_IMODE(key_file().stat().st_mode) == 0o600
    assert [file.name for file in (home / "medtl").iterdir()] == ["key"]
    monkeypatch.setattr(privacy, "_keys", {})
    assert key() == first


def test_the_key_of_a_process_that_was_faster_stays(home: Path) -> None:
    key_file().parent.mkdir(parents=True)
    key_file().write_text("the faster one's\n")
    privacy._make_key(key_file())
    assert key() == b"the faster one's"


def test_an_empty_key_file_is_refused(home: Path) -> None:
    key_file().parent.mkdir(parents=True)
    key_file().write_text("\n")
    with pytest.raises(InputError, match="is empty"):
        key()


def test_no_place_for_a_key(home: Path) -> None:
    (home / "medtl").write_text("a file where the folder should be")
    with pytest.raises(InputError, match="MEDTL_KEY"):
        key()
