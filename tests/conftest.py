"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# How long an example takes depends on what else the machine does, and tests measure no time.
settings.register_profile("nbpipe", deadline=None)
settings.load_profile("nbpipe")
