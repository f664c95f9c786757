"""Do the documents speak of things that exist?

Every relative link and picture must be a file, no figure may be left to fill in, and every `tlseg ...` line in a code
block must name a command whose options the command line knows. Run by `make docs`.
"""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import click

from tlseg.cli import main

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
OPEN = re.compile(r"^@[A-Z0-9]+@$", re.MULTILINE)
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
        for line in [*broken_links(document), *wrong_commands(document), *left_open(document)]
    ]
    print("\n".join(problems) or f"{len(documents())} documents: all links, commands and options exist")
    sys.exit(bool(problems))
