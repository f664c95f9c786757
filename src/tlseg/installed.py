"""How is tlseg installed here? Needed so that commands shown to a person work as typed."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tlseg.errors import MissingExtraError


def this_command() -> str:
    """The running `tlseg` as a shell finds it: by its path if its environment is not active."""
    script = Path(sys.executable).with_name("tlseg")
    return shlex.quote(str(script)) if script.is_file() and shutil.which("tlseg") != str(script) else "tlseg"


def install_command(extra: str) -> str:
    """Command that adds an extra to the running environment, from where tlseg was installed."""
    pip = Path(sys.executable).with_name("pip")
    active = shutil.which("pip") == str(pip)
    return f"{'pip' if active else f'{shlex.quote(sys.executable)} -m pip'} install '{_source()}[{extra}]'"


def missing_extra(what: str, extra: str) -> MissingExtraError:
    """Return the error for something that needs an extra that is not installed, with the command that adds it."""
    command = install_command(extra)
    return MissingExtraError(f"{what} needs an optional dependency. Install it with: {command}", extra=extra)


def _source() -> str:
    """Folder that tlseg was installed from, if it still exists, or else its name in a package index."""
    from importlib import metadata

    try:
        origin = json.loads(metadata.distribution("tlseg").read_text("direct_url.json") or "{}")
        folder = unquote(urlsplit(str(origin["url"])).path)
    except (metadata.PackageNotFoundError, ValueError, KeyError, TypeError):
        return "tlseg"
    return folder if (Path(folder) / "pyproject.toml").is_file() else "tlseg"
