from __future__ import annotations

import subprocess
import sys


def test_a_kernel_loads_none_of_the_driver():
    heavy = (
        "papermill", "nbclient", "nbformat", "tornado", "zmq", "jupyter_client", "dask", "IPython",
        "asyncio", "numpy", "pandas", "nbpipe.runner", "nbpipe.compiler",
    )  # fmt: skip
    script = (
        f"import sys, nbpipe.kernel\nprint([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
