"""Tasks: work that goes on after its answer, with a monitor to look at.

Invariant: a task's effect happens once, when its time has come, whether or not anybody looks; the fault `task_fails`
ends the next tasks without it.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

from aiohttp import web

from ingot_rack.redfish.tree import OK, ROOT, Front, collection, link, missing, resource
from ingot_rack.redfish.views import Views, shown
from ingot_rack.redfish.wire import Json, answer, no_content

SERVICE = f"{ROOT}/TaskService"
_TASKS = f"{SERVICE}/Tasks"
_MONITORS = f"{SERVICE}/TaskMonitors"


@dataclasses.dataclass
class Task:
    """One task: ``after_start``: it waits for the machine's next start; ``due``: done from this monotonic time on."""

    number: str
    name: str
    effect: Callable[[], None]
    due: float
    starts: int
    after_start: bool
    fails: bool
    state: str = "Running"


class Tasks:
    """All tasks of one BMC."""

    def __init__(self, front: Front) -> None:
        self._bmc = front.bmc
        self.all: dict[str, Task] = {}

    def begin(self, name: str, effect: Callable[[], None], *, after_start: bool = False) -> Task:
        """Begin work that takes `task_seconds`, and the machine's next start where it needs one."""
        due = time.monotonic() + self._bmc.faults.task_seconds
        number = str(len(self.all) + 1)
        fails = self._bmc.faults.take("task_fails")
        task = Task(number, name, effect, due, self._bmc.starts, after_start, fails)
        self.all[number] = task
        self.settle()
        return task

    def settle(self) -> None:
        """Let everything happen whose time has come."""
        for task in self.all.values():
            if task.state not in {"Running", "Pending"}:
                continue
            waits = task.after_start and self._bmc.starts == task.starts
            if time.monotonic() < task.due:
                task.state = "Running"
            elif task.fails:
                task.state = "Exception"
            elif waits:
                task.state = "Pending"
            else:
                task.state = "Completed"
                task.effect()


def accepted(task: Task) -> web.Response:
    """The answer that names a task's monitor."""
    response = answer(_task(task), status=202, headers={"Location": f"{_MONITORS}/{task.number}"})
    del response.headers["ETag"]
    return response


def _task(task: Task) -> Json:
    failed = task.state == "Exception"
    text = "The task failed: the image is not valid for this component." if failed else f"The task is {task.state}."
    message: Json = {"MessageId": "TaskEvent.1.0.TaskAborted" if failed else "TaskEvent.1.0.TaskProgressChanged"}
    return resource(
        f"{_TASKS}/{task.number}",
        "Task.v1_5_0.Task",
        task.name,
        TaskState=task.state,
        TaskStatus="Critical" if failed else "OK",
        PercentComplete=100 if task.state == "Completed" else 10,
        TaskMonitor=f"{_MONITORS}/{task.number}",
        Messages=[{**message, "Message": text, "Severity": "Critical" if failed else "OK"}],
    )


def service(front: Front) -> Json:
    """The task service."""
    del front
    return resource(
        SERVICE, "TaskService.v1_2_0.TaskService", "Task Service", ServiceEnabled=True, Status=OK, Tasks=link(_TASKS)
    )


def _list(front: Front) -> Json:
    front.part(Tasks).settle()
    return collection(_TASKS, "Task", [f"{_TASKS}/{number}" for number in front.part(Tasks).all])


def _monitor(task: Task) -> Views:
    async def view(request: web.Request, front: Front) -> web.StreamResponse:
        del request
        front.part(Tasks).settle()
        if task.state in {"Running", "Pending"}:
            return accepted(task)
        return answer(_task(task)) if task.state == "Exception" else no_content()

    return {"GET": view}


def numbered(path: str, front: Front) -> Views | None:
    """The views of one task or monitor, None for any other path."""
    folder, _, number = path.rpartition("/")
    if folder not in {_TASKS, _MONITORS}:
        return None
    task = front.part(Tasks).all.get(number)
    if task is None:
        raise missing(path)
    front.part(Tasks).settle()
    return _monitor(task) if folder == _MONITORS else shown(lambda _: _task(task))


def routes() -> dict[str, Views]:
    """Path -> views."""
    return {SERVICE: shown(service), _TASKS: shown(_list)}
