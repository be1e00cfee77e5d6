"""Which command starts the kernel that a notebook names."""

from __future__ import annotations

import sys
from typing import Final

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel

# Every environment has a kernel of this name; which one a search finds is a matter of luck.
CURRENT_KERNELS: Final = frozenset({"", "python", "python3"})


def current_kernel(python: str = "") -> KernelSpec:
    """Give the kernel of a Python, by default of the one that runs nbpipe."""
    return KernelSpec(
        argv=[python or sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        display_name="Python 3",
        language="python",
    )


def find_kernel(name: str) -> KernelSpec | None:
    """Give the kernel of this name, or None where no such kernel is installed.

    `python3` is always the interpreter that runs nbpipe: a kernel of that name in the home
    directory may belong to any environment.
    """
    if name in CURRENT_KERNELS:
        return current_kernel()
    try:
        return KernelSpecManager().get_kernel_spec(name)
    except NoSuchKernel:
        return None
