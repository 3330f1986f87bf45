"""
A coroutine as a whole program: the reactor runs until it has ended.

For commands that share code with the service, and so have something to wait for.
"""

import os
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred
from twisted.internet.task import react


def run(work: Callable[[ReactorBase], Coroutine[Any, Any, int]]) -> int:
    """
    Run to its end what waits for things.

    :return: the exit code that it ends with; ``EX_TEMPFAIL`` where a signal came first, so that nobody takes a
        half-done thing for done.
    :raises Exception: what it raises.
    """
    ended: list[int | BaseException] = []

    async def whole(reactor: ReactorBase) -> None:
        try:
            ended.append(await work(reactor))
        except BaseException as error:
            ended.append(error)

    try:
        react(lambda reactor: Deferred.fromCoroutine(whole(reactor)))
    except SystemExit:
        pass  # that is how it returns
    if not ended:
        return os.EX_TEMPFAIL
    (result,) = ended
    if isinstance(result, BaseException):
        raise result
    return result
