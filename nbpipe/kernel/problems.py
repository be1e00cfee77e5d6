"""How nbpipe's own cells of a step notebook fail: one or two clean lines, no stack of ours."""

from __future__ import annotations

from nbpipe.errors import StepError
from nbpipe.kernel.exchange import KernelProblem
from nbpipe.model.trace import Trace


class StepNotebookError(StepError):
    """A step notebook cannot begin, load or save; IPython shows the message and nothing else."""

    code = "step-notebook"

    def __init__(self, problem: KernelProblem, trace: Trace | None = None) -> None:
        super().__init__(problem.message, hint=problem.hint)
        self.problem = problem
        self.trace = trace or Trace()

    def _render_traceback_(self) -> list[str]:
        # IPython's way to let an exception draw its own traceback.
        return [f"nbpipe: {self.message}", *([self.hint] if self.hint else [])]
