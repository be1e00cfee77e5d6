"""Jupyter's provisioner, manager and client of a kernel, without their fixed waits.

Upstream drains iopub for 0.2 s of silence, polls for the end of a process every 0.1 s, and sleeps
10 ms on each change of state: half a second a kernel, in all. Here everything is waited for.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from pathlib import Path
from queue import Empty
from typing import Any, Final

import zmq.asyncio
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from traitlets import Type

from nbpipe.errors import KernelDiedError
from nbpipe.runner.kernels.processes import has_ended, kill_session, wait_for_exit

_GRACE_SECONDS: Final = 3.0
_RECONNECT_MILLISECONDS: Final = 5
_LONGEST_SOCKET_PATH: Final = 90  # The limit is 104 on macOS, 107 on Linux; zmq adds a number.


class StepProvisioner(LocalProvisioner):
    """A kernel as a process that is watched rather than polled, and takes all it started along."""

    exit_status: int | None = None

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:  # noqa: ANN401
        # The keywords are Jupyter's own, as in every provisioner.
        """Start the process, the first of a session of its own."""
        self.exit_status = None
        return await super().launch_kernel(cmd, **kwargs)

    async def poll(self) -> int | None:
        """Give None while the kernel runs; its exit status is not taken (see `wait_for_exit`)."""
        if self.process is None:
            return self.exit_status or 0
        return 0 if has_ended(self.process) else None

    async def wait(self) -> int | None:
        """Wait for the kernel to end; then end whatever it left running."""
        process = self.process
        if process is None:
            return self.exit_status
        await wait_for_exit(process)
        kill_session(process.pid)
        self.exit_status = process.wait()
        self.process = None
        return self.exit_status

    def kill_now(self) -> None:
        """Kill the kernel and all it started; safe from any thread while the kernel is attached."""
        if self.process is not None:
            kill_session(self.process.pid)


class StepKernelClient(AsyncKernelClient):
    """A client that is ready as soon as the kernel is."""

    kernel_facts: dict[str, Any]

    def start_channels(
        self,
        shell: bool = True,  # noqa: FBT001, FBT002 - Jupyter's signature.
        iopub: bool = True,  # noqa: FBT001, FBT002
        stdin: bool = False,  # noqa: FBT001, FBT002
        hb: bool = False,  # noqa: FBT001, FBT002
        control: bool = False,  # noqa: FBT001, FBT002
    ) -> None:
        """Open the two channels that matter; the manager has a control channel of its own."""
        super().start_channels(shell=shell, iopub=iopub, stdin=stdin, hb=hb, control=control)

    async def wait_for_ready(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - Jupyter's signature.
        """Wait until the kernel answers, and its answers reach the iopub channel.

        Raises:
            KernelDiedError: when it dies or stays silent.
        """
        deadline = time.monotonic() + (timeout or float("inf"))
        patience = 0.02
        while True:
            request = self.kernel_info()
            await self._reply(request, deadline)
            if await self._is_heard(request, patience):
                return
            # The subscription was late: the status of this request went to nobody. Ask again.
            patience = min(2 * patience, 0.5)

    async def _reply(self, request: str, deadline: float) -> None:
        while True:
            try:
                message = await self.shell_channel.get_msg(timeout=0.25)
            except Empty:
                if self.parent is None or not await self.parent.is_alive():
                    raise KernelDiedError("The kernel ended before it was ready.") from None
                if time.monotonic() > deadline:
                    raise KernelDiedError("The kernel does not answer.") from None
                continue
            if message["parent_header"].get("msg_id") == request:
                self._handle_kernel_info_reply(message)
                self.kernel_facts = message["content"]
                return

    async def _is_heard(self, request: str, patience: float) -> bool:
        end = time.monotonic() + patience
        while (left := end - time.monotonic()) > 0:
            try:
                message = await self.iopub_channel.get_msg(timeout=left)
            except Empty:
                return False
            if (
                message["msg_type"] == "status"
                and message["content"]["execution_state"] == "idle"
                and message["parent_header"].get("msg_id") == request
            ):
                return True
        return False


class StepKernelManager(AsyncKernelManager):
    """The manager of one kernel, for one attempt at a step."""

    client_class = "nbpipe.runner.kernels.jupyter.StepKernelClient"
    client_factory = Type(klass=StepKernelClient)

    @classmethod
    def of(cls, specification: KernelSpec, directory: Path) -> StepKernelManager:
        """Give a manager for a kernel whose sockets and connection file go into `directory`.

        The directory should be short and private; where its name is too long for a socket, the
        kernel listens on local TCP ports instead.
        """
        context = zmq.asyncio.Context()
        context.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MILLISECONDS)
        # Nothing a cell prints may be dropped because we read more slowly than it prints.
        context.setsockopt(zmq.RCVHWM, 0)
        sockets = directory / "k"
        local = hasattr(zmq, "IPC_FILTER_PID") or zmq.has("ipc")
        if local and len(str(sockets)) <= _LONGEST_SOCKET_PATH:
            place = {"transport": "ipc", "ip": str(sockets)}
        else:
            place = {"transport": "tcp"}
        manager = cls(context=context, connection_file=str(directory / "connection.json"), **place)
        manager._kernel_spec = specification  # Jupyter would search by name.
        return manager

    async def start_kernel(self, **kwargs: Any) -> None:  # type: ignore[override]  # noqa: ANN401
        # The keywords go to the provisioner and from there to Popen, as upstream.
        """Start the kernel process."""
        self.kernel_id = self.kernel_id or str(uuid.uuid4())
        specification = self._kernel_spec
        assert specification is not None
        if "kernel_provisioner" not in specification.metadata:
            self.provisioner = StepProvisioner(
                kernel_id=self.kernel_id, kernel_spec=specification, parent=self
            )
        command, kwargs = await self._async_pre_start_kernel(**kwargs)
        await self._async_launch_kernel(command, **kwargs)
        await self._async_post_start_kernel(**kwargs)

    async def shutdown_kernel(self, now: bool = False, restart: bool = False) -> None:  # type: ignore[override]  # noqa: FBT001, FBT002
        """Ask the kernel to end, give it a moment, then end it; with `now`, end it."""
        self.shutting_down = True
        if self.has_kernel and self.provisioner is not None:
            if not now:
                await self._async_request_shutdown(restart=restart)
                try:
                    await asyncio.wait_for(self.provisioner.wait(), _GRACE_SECONDS)
                except TimeoutError:
                    now = True
            if now:
                await self.provisioner.kill()
                await self.provisioner.wait()
        await self._async_cleanup_resources(restart=restart)
        self.context.destroy(linger=0)
