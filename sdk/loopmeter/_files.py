"""Calls that wait for a disk: at once for the blocking client, in a thread for the other, whose loop must not wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Files:
    @staticmethod
    def call(function: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
        return function(*arguments, **named)


class AsyncFiles:
    @staticmethod
    async def call(function: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
        import asyncio  # Loaded late: it costs import time.

        return await asyncio.to_thread(function, *arguments, **named)
