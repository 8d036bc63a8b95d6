"""The shape of the house: small files, honest names, a menu, and a map in every folder."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST = 250
VAGUE = {"utils", "util", "helpers", "helper", "manager", "common", "base", "misc"}
# Written apart, so that this file does not name what it looks for.
MACHINE = re.compile(r"(?<![\w.~$}-])/(?:" + "|".join(["wor" + "k", "roo" + "t"]) + r")/")


def _tracked() -> list[Path]:
    """Return what is committed or would be: the files that git does not ignore."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file()]


TRACKED = _tracked()
MODULES = [path for path in TRACKED if path.suffix == ".py"]
TOP = sorted({path.relative_to(ROOT).parts[0] for path in TRACKED if path.parent != ROOT})
FOLDERS = [name for name in TOP if not name.startswith(".")]


def test_no_file_of_the_product_is_long() -> None:
    long = {
        path.relative_to(ROOT).as_posix(): lines
        for path in MODULES
        if path.relative_to(ROOT).parts[0] in {"contracts", "services", "deploy", "demo"}
        and (lines := len(path.read_text(encoding="utf-8").splitlines())) > LONGEST
    }
    assert long == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    vague = [p.relative_to(ROOT).as_posix() for p in MODULES if {p.stem, p.parent.name} & VAGUE]
    assert vague == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_has_a_map_of_about_ten_lines(folder: str) -> None:
    lines = (ROOT / folder / "README.md").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith(f"# {folder}")
    assert 5 <= len(lines) <= 20


def test_the_menu_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^\.PHONY: (\S+)$", makefile, re.MULTILINE)
    menu = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    listed = re.findall(r"^  make (\S+) +\S", menu.stdout, re.MULTILINE)
    assert sorted(listed) == sorted(targets)
    assert {"help", "run", "test", "check", "bench", "demo", "schemas", "migrate"} <= set(targets)
    assert len(makefile.splitlines()) <= 90


def test_nothing_names_the_machine_that_it_was_written_on() -> None:
    named = []
    for path in TRACKED:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a font or a picture
        if MACHINE.search(text):
            named.append(path.relative_to(ROOT).as_posix())
    assert named == []


def test_every_release_has_its_licence() -> None:
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in licence
    assert "END OF TERMS AND CONDITIONS" in licence
