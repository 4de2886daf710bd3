"""What the README and the other pages say is there: commands with these options, files, pictures, targets."""

from __future__ import annotations

import importlib.util
import re
import shlex
import tomllib
from pathlib import Path
from urllib.parse import unquote

import pytest
import typer

import medtl
from medtl.cli import _app, _one_value_a_flag
from medtl.training.config import ADAPTING
from medtl.verbs import VERBS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "sample_data/README.md", ROOT / "CITATION.cff"]
)
NOTEBOOKS = sorted((ROOT / "docs").rglob("*.ipynb"))
REGISTRIES = re.compile(
    r"pypi|pythonhosted|npmjs|huggingface\.co|anaconda\.org|conda-forge|ghcr\.io|docker\.io|index-url|proxy\.golang",
    re.I,
)


def load(name: str, path: Path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def commands() -> list[str]:
    """Every line of a shell block that calls medtl."""
    blocks = [
        block for page in PAGES for block in re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    ]
    lines = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    return sorted({line for line in lines if line.startswith("medtl ")})


def test_the_job_is_shown_whole():
    verbs = [line.split()[1] for line in commands()]
    assert {"demo", "index", "adapt", "evaluate", "calibrate", "finetune", "predict", "export"} <= set(verbs)


@pytest.mark.parametrize("command", commands())
def test_the_command_is_one_that_medtl_takes(command):
    verb, *words = shlex.split(command)[1:]
    group = typer.main.get_command(_app())
    group.commands[verb].make_context(verb, _one_value_a_flag([verb, *words])[1:])  # raises where it would refuse


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_verbs_and_options_in_the_text_exist(page):
    for words in re.findall(r"`medtl ([a-z]+)((?: [^`]*)?)`", page.read_text(encoding="utf-8")):
        verb, others = words
        assert verb in VERBS, f"{page.name} names `medtl {verb}`"
        known = {flag for each in typer.main.get_command(_app()).commands[verb].params for flag in each.opts}
        unknown = [flag for flag in re.findall(r"(?<!\S)--?[a-z][\w-]*", others) if flag not in {*known, "--help"}]
        assert not unknown, f"{page.name}: `medtl {verb}` has no {unknown}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_to_files_and_headings_resolve(page):
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    for link in links:
        if re.match(r"\w+:", link):
            continue
        file, _, heading = unquote(link).partition("#")
        target = page.parent / file if file else page
        assert target.exists(), f"{page.name} links to {link}"
        if heading:
            assert heading in headings(target.read_text(encoding="utf-8")), f"{page.name} links to {link}"


def headings(text: str) -> set[str]:
    """Their anchors, as GitHub and GitLab make them."""
    lines = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize("page", [*PAGES, *NOTEBOOKS], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_registry_is_named(page):
    found = REGISTRIES.findall(page.read_text(encoding="utf-8"))
    assert not found, f"{page.name} names {found}: where packages come from is the user's own setting"


def test_what_the_demo_prints_is_shown():
    shown = re.search(r"<!-- demo output -->\n(.*?)<!-- /demo output -->", README, re.DOTALL)
    assert shown is not None and "AUROC" in shown[1], "paste what `make demo` printed between the two marks"


def test_the_methods_named_are_there():
    table = README.partition("## Methods")[2].partition("\n## ")[0]
    named = {name for row in re.findall(r"^\|(.*)\|$", table, re.MULTILINE) for name in re.findall(r"`([a-z-]+)`", row)}
    assert len(named) > 30 and named <= set(ADAPTING)


def test_version_is_one():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    citation = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    changes = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    wheels = set(re.findall(r"medtl-([\d.]+)-py3", README))
    assert citation is not None and changes is not None
    assert {project, citation[1], changes[1], *wheels} == {medtl.__version__}


def test_the_pictures_are_those_that_the_tool_draws():
    pictures = load("draw_pictures", ROOT / "tools" / "draw_pictures.py")
    for name, draw in pictures.DRAWN.items():
        drawn = (ROOT / "docs" / "pictures" / name).read_text(encoding="utf-8")
        assert drawn == draw(), f"run python tools/draw_pictures.py: {name} is an older one"


def test_the_floors_drawn_are_those_that_are_held():
    drawn = [set(names.split(" · ")) for names, _ in load("draw_pictures", ROOT / "tools" / "draw_pictures.py").FLOORS]
    there = {path.stem for path in (ROOT / "medtl").iterdir()}
    held = [floor & there for floor in load("test_floors", ROOT / "tests" / "test_floors.py").FLOORS]
    assert drawn == [floor - {"__main__", "__init__"} for floor in held[:-1]]


def test_the_parts_that_architecture_names_are_there():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:medtl|tests|tools)/[\w/.]+)`", text))
    missing = [name for name in named if not (ROOT / name).exists()]
    assert named and not missing


def test_the_benchmarks_that_the_pages_name_are_there():
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    named = {name for text in texts for name in re.findall(r"(?<![\w/])benchmarks/\w+\.py", text)}
    missing = [name for name in named if not (ROOT / name).exists()]
    assert named and not missing
