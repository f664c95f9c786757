"""How a count is written in messages: one thing in the singular, and long numbers with commas."""

from __future__ import annotations


def how_many(number: int, one: str, many: str | None = None) -> str:
    """Write a number with its noun: `1 frame`, `2 frames`, `12,345 frames`.

    Parameters
    ----------
    number : int
        The count.
    one : str
        What follows if it is 1: a noun, perhaps with its verb.
    many : str, optional
        What follows any other number; by default `one` with an s. Needed for `nuclei`, and for verbs (`chunks are`).
    """
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
