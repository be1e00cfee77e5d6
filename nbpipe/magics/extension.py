"""What `%load_ext nbpipe` does, and what `%unload_ext nbpipe` undoes (start here)."""

from __future__ import annotations

from typing import Final

from IPython.core.interactiveshell import InteractiveShell

from nbpipe.magics.live_hooks import LiveHooks
from nbpipe.magics.pipeline_magic import pipeline_magic
from nbpipe.magics.step_magics import cell_magics
from nbpipe.magics.tag_lines import without_tag_line
from nbpipe.model.notebook import Role

_LINE_MAGIC: Final = "pipeline"


def load_ipython_extension(ip: InteractiveShell) -> None:
    """Add the magics; doing it twice is harmless."""
    if without_tag_line not in ip.input_transformers_cleanup:
        ip.input_transformers_cleanup.append(without_tag_line)
    magics = ip.magics_manager
    for name, magic in cell_magics().items():
        magics.register_function(magic, magic_kind="cell", magic_name=name)
    magics.register_function(pipeline_magic(ip.user_ns), magic_kind="line", magic_name=_LINE_MAGIC)
    if not any(isinstance(each, LiveHooks) for each in ip.ast_transformers):
        LiveHooks(ip).register()


def unload_ipython_extension(ip: InteractiveShell) -> None:
    """Remove everything again."""
    if without_tag_line in ip.input_transformers_cleanup:
        ip.input_transformers_cleanup.remove(without_tag_line)
    for hooks in [each for each in ip.ast_transformers if isinstance(each, LiveHooks)]:
        hooks.unregister()
    for role in Role:
        ip.magics_manager.magics["cell"].pop(role.value, None)
    ip.magics_manager.magics["line"].pop(_LINE_MAGIC, None)
