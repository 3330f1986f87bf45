"""TLS sessions to resume."""

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.tls.certificate import Judgement, Trust
from smtpclient.tls.session_cache import MOST, SessionCache

VERIFIED = Judgement(Trust.VERIFIED)


class Sessions(SynchronousTestCase):
    def test_once(self) -> None:
        """A session is given out once, with the judgement of its server."""
        cache = SessionCache(Clock().seconds, 60.0)
        session: Any = object()
        cache.keep("key", session, VERIFIED)
        kept = cache.take("key")
        assert kept is not None
        self.assertIs(kept.session, session)
        self.assertEqual(kept.judgement, VERIFIED)
        self.assertIsNone(cache.take("key"))

    def test_age(self) -> None:
        """An old session is not given out."""
        clock = Clock()
        cache = SessionCache(clock.seconds, 60.0)
        cache.keep("key", object(), VERIFIED)  # type: ignore[arg-type]
        clock.advance(60.0)
        self.assertIsNone(cache.take("key"))

    def test_off(self) -> None:
        """Without a lifetime nothing is kept; nor is a session with a server that was not accepted."""
        off, on = SessionCache(Clock().seconds, 0.0), SessionCache(Clock().seconds, 60.0)
        off.keep("key", object(), VERIFIED)  # type: ignore[arg-type]
        on.keep("key", object(), Judgement(Trust.UNTRUSTED, "wrong"))  # type: ignore[arg-type]
        self.assertEqual((off.take("key"), on.take("key")), (None, None))

    def test_bounded(self) -> None:
        """The oldest of too many goes."""
        cache = SessionCache(Clock().seconds, 60.0)
        for number in range(MOST + 1):
            cache.keep(number, object(), VERIFIED)  # type: ignore[arg-type]
        self.assertIsNone(cache.take(0))
        self.assertIsNotNone(cache.take(MOST))
