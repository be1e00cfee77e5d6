"""Every generated file of the documentation, by its path in the repository (start here)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from cli_page import cli_page
from diagnostics_page import diagnostics_page
from flights_picture import flights_picture
from python_api_page import python_api_page
from settings_page import settings_page
from tags_page import tags_page

ROOT: Final = Path(__file__).resolve().parents[2]

_MAKERS: Final[dict[str, Callable[[Path], str]]] = {
    "docs/images/flights.svg": flights_picture,
    "docs/reference/cli.md": cli_page,
    "docs/reference/diagnostics.md": diagnostics_page,
    "docs/reference/python-api.md": python_api_page,
    "docs/reference/settings.md": settings_page,
    "docs/reference/tags.md": tags_page,
}


def generated_files() -> dict[str, str]:
    """Make the texts of all generated files; nothing is written."""
    return {name: make(ROOT) for name, make in _MAKERS.items()}
