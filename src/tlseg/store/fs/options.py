"""How to reach a remote store: endpoint, region and the like, by protocol, without secrets.

Options live in fsspec's own configuration of the process, never in a URL, a run record or a task: a run that moves to
another endpoint is the same run. Credentials come from where the store's own client looks for them (environment,
profile, role of the machine), so they are refused here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tlseg.errors import PlanError

Options = dict[str, dict[str, Any]]

_OURS: Options = {
    # One request per object: shards are read in ranges, and workers are parallel already. With more, s3fs asks for the
    # size first, and does not ask again for a part that was cut short.
    "s3": {"max_concurrency": 1},
}
_SECRET = ("secret", "token", "password", "credential", "connection_string", "sas")
_given: Options = {}
_public: set[str] = set()


def parse_options(texts: Iterable[str]) -> Options:
    """Options by protocol from texts such as `endpoint_url=http://host:9000` (for s3) or `gs.project=mine`.

    Values are JSON if they can be read as such, else text.

    Raises
    ------
    PlanError
        If a text is not an option, or holds a secret.
    """
    found: Options = {}
    for text in texts:
        name, equals, value = text.partition("=")
        scheme, dot, key = name.partition(".")
        if not dot:
            scheme, key = "s3", name
        if not equals or not key:
            raise PlanError(
                f"{text!r} is not a storage option. Expected KEY=VALUE for s3, or PROTOCOL.KEY=VALUE, such as "
                "endpoint_url=http://host:9000."
            )
        try:
            parsed = json.loads(value)
        except ValueError:
            parsed = value
        found.setdefault(scheme, {})[key] = parsed
    check_options(found)
    return found


def check_options(options: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise `PlanError` if an option is a secret: everybody who lists processes would see it."""
    for scheme, settings in options.items():
        for key, value in settings.items():
            inner = {scheme: value} if isinstance(value, Mapping) else {}
            if key in ("key", "account_key", "aws_access_key_id") or any(part in key.lower() for part in _SECRET):
                raise PlanError(
                    f"The storage option {scheme}.{key} is a credential. Give it through the environment or the "
                    "client's own configuration (AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                    "~/.aws/config, the role of the machine)."
                )
            check_options(inner)


def set_options(options: Mapping[str, Mapping[str, Any]]) -> None:
    """Use these options in this process from now on, over those of fsspec's configuration.

    Raises
    ------
    PlanError
        If one of them is a secret.
    """
    import fsspec.config

    check_options(options)
    for scheme, settings in options.items():
        _given.setdefault(scheme, {}).update(settings)
        fsspec.config.conf.setdefault(scheme, {}).update(settings)


def given_options() -> Options:
    """The options given to `set_options` in this process, to pass on to workers."""
    return {scheme: dict(settings) for scheme, settings in _given.items()}


def options_for(url: str) -> dict[str, Any]:
    """Options with which the file system of a URL is created; fsspec's configuration overrides our own."""
    import fsspec.config

    scheme = url.split("://", 1)[0]
    scheme = {"s3a": "s3"}.get(scheme, scheme)
    anonymous = {"anon": True} if _bucket(url) in _public else {}
    return {"use_listings_cache": False, **_OURS.get(scheme, {}), **fsspec.config.conf.get(scheme, {}), **anonymous}


def assume_public(url: str) -> None:
    """Access the bucket of a URL without credentials from now on."""
    _public.add(_bucket(url))


def _bucket(url: str) -> str:
    return "/".join(url.split("/")[:3])
