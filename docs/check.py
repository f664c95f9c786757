"""Do the documents speak of things that exist?

Every relative link and picture must be a file, no figure may be left to fill in, every `tlseg ...` line in a code block
must name a command whose options the command line knows, and every `tlseg.name(...)` in Python a public function with
these parameters. Run by `make docs`.
"""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import sys
from pathlib import Path

import click

import tlseg
from tlseg.cli import main

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
OPEN = re.compile(r"^@[A-Z0-9]+@$", re.MULTILINE)
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
FENCE = re.compile(r"```[a-z]*\n(.*?)```", re.DOTALL)


def documents() -> list[Path]:
    """All Markdown of the project."""
    return [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "src").rglob("*.md"))]


def broken_links(document: Path) -> list[str]:
    """Relative links that lead nowhere."""
    found = []
    for target in LINK.findall(document.read_text()):
        path = target.split("#")[0]
        if path and "://" not in path and not (document.parent / path).exists():
            found.append(f"{document.relative_to(ROOT)}: no file {target}")
    return found


def wrong_commands(document: Path) -> list[str]:
    """`tlseg` lines in code blocks with a command or option that does not exist."""
    found = []
    for block in FENCE.findall(document.read_text()):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True) if line.strip().startswith("tlseg ") else []
            if words and (problem := wrong_words(words[1:])):
                found.append(f"{document.relative_to(ROOT)}: {line.strip()}: {problem}")
    return found


def wrong_calls(document: Path) -> list[str]:
    """Calls of `tlseg.name(...)` in Python examples with a name or keyword that does not exist."""
    calls = [
        node
        for block in PYTHON.findall(document.read_text())
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and ast.unparse(node.func.value) == "tlseg"
    ]
    return [f"{document.relative_to(ROOT)}: {ast.unparse(c)}: {problem}" for c in calls if (problem := wrong_call(c))]


def wrong_call(call: ast.Call) -> str | None:
    """What is wrong with a call of a public function, None where nothing is."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    if name not in tlseg.__all__:
        return f"tlseg has no {name}"
    try:
        inspect.signature(getattr(tlseg, name)).bind(*call.args, **{k.arg: k.value for k in call.keywords if k.arg})
    except TypeError as error:
        return str(error)
    return None


def left_open(document: Path) -> list[str]:
    """Figures that were never filled in."""
    return [f"{document.relative_to(ROOT)}: {mark} is not filled in" for mark in OPEN.findall(document.read_text())]


def wrong_words(words: list[str]) -> str | None:
    """What is wrong with the words after `tlseg`, None where nothing is."""
    command: click.Command = main
    context = click.Context(main)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        following = command.get_command(context, words[0])
        if following is None:
            return f"no command {words[0]}"
        command, words = following, words[1:]
    known = {option for p in command.params for option in (*p.opts, *p.secondary_opts)}
    unknown = [
        w.split("=")[0] for w in words if w.startswith("--") and w.split("=")[0] not in {*known, "--help", "--version"}
    ]
    return f"no option {unknown[0]}" if unknown else None


if __name__ == "__main__":
    problems = [
        line
        for document in documents()
        for line in [
            *broken_links(document),
            *wrong_commands(document),
            *wrong_calls(document),
            *left_open(document),
        ]
    ]
    print("\n".join(problems) or f"{len(documents())} documents: all links, commands, options and functions exist")
    sys.exit(bool(problems))
