"""
A reactor of its own: the simulated clock and network, and threads that are none.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IListeningPort, IReactorFromThreads, IReactorTCP
from twisted.internet.protocol import ClientFactory, Factory
from zope.interface import implementer

from tests.simulation.clock import HeapClock
from tests.simulation.network import Dial, Network, Weather


@implementer(IReactorTCP, IReactorFromThreads)
class SimulatedReactor(HeapClock):
    """What the service takes for its reactor."""

    def __init__(self, weather: Weather) -> None:
        super().__init__()
        self.network = Network(self, weather)

    def connectTCP(
        self, host: str, port: int, factory: ClientFactory, timeout: float = 30.0, bindAddress: Any = None
    ) -> Dial:
        """Connect over the simulated network."""
        factory.doStart()
        return self.network.dial(host, port, factory, timeout)

    def listenTCP(self, port: int, factory: Factory, backlog: int = 50, interface: str = "") -> IListeningPort:
        """Listen on the simulated network."""
        return self.network.listen(interface, port, factory)

    def callFromThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """There are no threads: in the next turn."""
        self.callLater(0, callable, *args, **kwargs)
