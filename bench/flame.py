"""
Where a Python program spends its CPU time, as a flame graph.

:class:`Sampler` interrupts the program each millisecond of CPU time (SIGPROF) and notes the stack; :func:`svg` draws
what was noted: each box is a function, as wide as the share of samples that were in it or in what it called, standing
on its caller. There is nothing to install and no second process, so it sees coroutines as they are: on top of whoever
resumed them.

Does not: see C functions; their time counts for the Python function that called them. Signals are taken between
bytecodes, so a long system call is one sample, whatever it took.
"""

import signal
from collections import Counter
from collections.abc import Iterator
from html import escape
from types import FrameType

INTERVAL = 0.001  # seconds of CPU time

_WIDTH = 1200.0
_ROW = 16
_SMALLEST = 1.0  # boxes narrower than that are left out, pixels

Stack = tuple[str, ...]


class Sampler:
    """Notes stacks between :meth:`start` and :meth:`stop`; in the main thread, one at a time."""

    def __init__(self) -> None:
        self.stacks: Counter[Stack] = Counter()
        self._names: dict[object, str] = {}

    def start(self) -> None:
        """Begin."""
        signal.signal(signal.SIGPROF, self._note)
        signal.setitimer(signal.ITIMER_PROF, INTERVAL, INTERVAL)

    def stop(self) -> None:
        """End."""
        signal.setitimer(signal.ITIMER_PROF, 0)

    def _note(self, _number: int, frame: FrameType | None) -> None:
        stack: list[str] = []
        while frame is not None:
            code = frame.f_code
            name = self._names.get(code)
            if name is None:
                name = self._names[code] = _name(code.co_filename, code.co_qualname)
            stack.append(name)
            frame = frame.f_back
        self.stacks[tuple(reversed(stack))] += 1

    def own_time(self) -> list[tuple[str, float]]:
        """Each function and its share of the samples, without what it called; the largest first."""
        own: Counter[str] = Counter()
        for stack, count in self.stacks.items():
            own[stack[-1]] += count
        return [(name, count / own.total()) for name, count in own.most_common()]


def _name(path: str, function: str) -> str:
    parts = path.replace("\\", "/").removesuffix(".py").split("/")
    for top in ("smtpclient", "twisted"):
        if top in parts[:-1]:
            start = len(parts) - 1 - parts[::-1].index(top)
            return ".".join(parts[start:]).removeprefix("smtpclient.") + ":" + function
    return f"{parts[-1]}:{function}"


class _Box:
    """A function at one place of the tree of calls."""

    def __init__(self) -> None:
        self.count = 0
        self.above: dict[str, _Box] = {}


def svg(stacks: Counter[Stack], title: str, root: str = "") -> str:
    """
    The flame graph.

    :param root: leave out what stands below the first function whose name contains this.
    """
    tree = _Box()
    for stack, count in stacks.items():
        _add(tree, stack, count, root)
    boxes = list(_boxes(tree, 0, 0.0, _WIDTH / max(tree.count, 1)))
    height = (max((depth for depth, *_ in boxes), default=0) + 3) * _ROW
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH:.0f}" height="{height}" '
        'font-family="monospace" font-size="11">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="4" y="13">{escape(title)}: {tree.count} samples</text>',
    ]
    for depth, left, width, name, count in boxes:
        parts.append(_drawn(left, height - (depth + 1) * _ROW, width, name, count / tree.count))
    return "\n".join([*parts, "</svg>\n"])


def _add(tree: _Box, stack: Stack, count: int, root: str) -> None:
    start = next((index for index, name in enumerate(stack) if root in name), 0)
    tree.count += count
    for name in stack[start:]:
        tree = tree.above.setdefault(name, _Box())
        tree.count += count


def _boxes(box: _Box, depth: int, left: float, scale: float) -> Iterator[tuple[int, float, float, str, int]]:
    for name, above in sorted(box.above.items()):
        width = above.count * scale
        if width >= _SMALLEST:
            yield depth, left, width, name, above.count
            yield from _boxes(above, depth + 1, left, scale)
        left += width


def _drawn(left: float, top: float, width: float, name: str, share: float) -> str:
    # The product warm, what it stands on cold; the shade depends on the name, so that pictures can be compared.
    shade = sum(name.encode()) % 60
    colour = f"rgb({120 + shade},{150 + shade},220)" if name.startswith("twisted") else f"rgb(235,{120 + shade},60)"
    short = name.rpartition(":")[2]
    label = short[: max(int(width / 6.7) - 1, 0)]
    text = f'<text x="{left + 2:.1f}" y="{top + 12:.0f}">{escape(label)}</text>' if len(label) > 2 else ""
    return (
        f'<g><title>{escape(name)}: {share:.1%}</title><rect x="{left:.1f}" y="{top:.0f}" width="{width - 0.5:.1f}" '
        f'height="{_ROW - 1}" fill="{colour}" rx="1"/>{text}</g>'
    )
