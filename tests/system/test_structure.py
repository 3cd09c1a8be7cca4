"""The layout of the code, and the wording of its messages. The layers of imports are checked by import-linter."""

import ast
import re
from pathlib import Path

import alkit

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for folder in ("alkit", "plugins", "benchmarks") for path in (ROOT / folder).rglob("*.py"))


def test_few_modules_lie_outside_the_districts():
    assert len(list((ROOT / "alkit").glob("*.py"))) <= 12


def test_few_names_are_at_the_top_level():
    namespaces = {path.stem for path in (ROOT / "alkit").iterdir()}
    assert len(set(alkit.__all__) - namespaces) <= 32


def test_a_long_file_gives_the_reason_in_its_first_paragraphs():
    for path in SOURCES:
        text = path.read_text()
        if len(text.splitlines()) > 400:
            assert re.search(r"\b(file|module) is long", ast.get_docstring(ast.parse(text)) or ""), path.relative_to(
                ROOT
            )


def messages(path):
    """Yield the texts inside the raise statements of a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Raise):
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.value


ODD = r"there (is|are) no\b|\b(is|are) no [a-z]|cannot be (this|so)\b|\b(anew|whoever|gone on with)\b"


def test_messages_are_in_plain_english():
    odd = [(path, text) for path in SOURCES for text in messages(path) if re.search(ODD, text)]
    assert not odd, "say what was found and what must hold: see the section on messages in CONTRIBUTING.md"
