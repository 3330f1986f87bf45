"""Messages between the service and its workers: what is encoded comes out as it was; nothing else comes out."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.mail.envelope import Envelope, Notify, Recipient, Return, Utf8
from smtpclient.mail.outcome import Delays, Disposition, Outcome, Peer, SiteFailure
from smtpclient.workers import wire
from smtpclient.workers.message import (
    Begin,
    Broken,
    Cancel,
    Deliver,
    Done,
    Logged,
    Message,
    Queued,
    Ready,
    Refused,
    Removed,
    Reopen,
    Settled,
    Stop,
    outcomes,
    settled,
)
from smtpclient.workers.wire import MalformedFrame, Reader, decode, encode

TEXT = st.text(st.characters(), max_size=20)  # with what is left of bytes that were no UTF-8, too
TEXTS = st.dictionaries(TEXT, TEXT, max_size=3)
NUMBER = st.integers(-1, 2**40)
TIME = st.floats(0, 2e9)
RECIPIENTS = st.builds(Recipient, TEXT, TEXT, NUMBER, TEXT, st.sampled_from([Notify(n) for n in range(16)]))
ENVELOPES = st.builds(
    Envelope,
    TEXT,
    TEXT,
    TIME,
    TIME,
    NUMBER,
    NUMBER,
    NUMBER,
    TEXT,
    st.sampled_from([Utf8(n) for n in range(16)]),
    TEXT,
    st.sampled_from(Return),
    TEXT,
    st.dictionaries(TEXT, TEXT, max_size=3),
)
OUTCOMES = st.builds(
    Settled,
    NUMBER,
    st.sampled_from(Disposition),
    TEXT,
    TEXT,
    TEXT,
    st.none() | st.builds(Peer, TEXT, TEXT, st.integers(0, 65535)),
    TEXT,
    st.booleans(),
    st.booleans(),
    st.builds(Delays, TIME, TIME, TIME, TIME),
    st.integers(1, 1000),
    TEXT,
)
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(
        Begin, st.dictionaries(TEXT, TEXT, max_size=3), st.dictionaries(TEXT, TEXT, max_size=3), TEXT, TEXT, TEXT
    ),
    st.builds(
        Deliver,
        NUMBER,
        TEXT,
        TEXT,
        TIME,
        NUMBER,
        st.booleans(),
        ENVELOPES,
        st.lists(RECIPIENTS, max_size=3).map(tuple),
        st.booleans(),
        NUMBER,
    ),
    st.builds(Cancel, NUMBER),
    st.builds(Removed, NUMBER),
    st.sampled_from([Reopen(), Stop(), Ready()]),
    st.builds(Refused, TEXT),
    st.builds(
        Done,
        NUMBER,
        st.lists(OUTCOMES, max_size=3).map(tuple),
        st.none() | st.builds(SiteFailure, TEXT, TEXT),
        st.booleans(),
    ),
    st.builds(Broken, NUMBER, TEXT, TEXT, NUMBER, st.booleans()),
    st.builds(Logged, TEXT, TEXT, TEXT, TEXT),
    st.builds(Queued, TEXT),
)
SETTINGS = settings(max_examples=100, deadline=None, derandomize=True, database=None)


def framed(values: object) -> bytes:
    """Any JSON as a frame."""
    data = json.dumps(values).encode()
    return len(data).to_bytes(4, "big") + data


class RoundTripTests(SynchronousTestCase):
    """What goes in comes out."""

    @SETTINGS
    @given(st.lists(MESSAGES, max_size=4), st.integers(1, 200))
    def test_messages_come_out_as_they_went_in(self, messages: list[Message], piece: int) -> None:
        """Any messages, in pieces of any size, come out equal, in order, and with the types that they had."""
        data = b"".join(encode(message) for message in messages)
        reader = Reader()
        found = [each for at in range(0, len(data), piece) for each in reader.feed(data[at : at + piece])]
        self.assertEqual(repr(messages), repr(found))
        self.assertEqual(messages, found)

    def test_a_whole_number_of_seconds_is_a_time(self) -> None:
        """A time that is an integer is taken."""
        message = Deliver(1, "smtp", "x", 7, 0, False, Envelope("A1", "", 0, 0, 0, 0), ())
        self.assertEqual([message], list(Reader().feed(encode(message))))

    @SETTINGS
    @given(st.lists(MESSAGES, max_size=4))
    def test_messages_that_are_sent_together_come_out_one_by_one(self, messages: list[Message]) -> None:
        """One frame may hold any number of messages."""
        self.assertEqual(messages, list(Reader().feed(encode(*messages))))

    def test_outcomes_get_their_recipients_back(self) -> None:
        """What is told of outcomes has everything but the recipient, who is known; in any order."""
        self.assertEqual(Outcome._fields[1:], Settled._fields[1:])
        recipients = tuple(Recipient(f"{name}@x", offset=number) for number, name in enumerate("abc"))
        for some in (recipients, recipients[:1]):
            request = Deliver(1, "smtp", "x", 7, 0, False, Envelope("A1", "", 0, 0, 0, 0), some)
            known = tuple(Outcome(each, Disposition.SENT, "2.0.0", f"{each.address} ok") for each in reversed(some))
            told = settled(request, known)
            self.assertNotIn(b"a@x", encode(Done(1, told)).replace(b"a@x ok", b""))
            self.assertEqual(known, outcomes(some, told))
        for position in (-1, 3):
            with self.assertRaises(IndexError):
                outcomes(recipients, [Settled(position, Disposition.SENT, "2.0.0", "ok")])


class RefusalTests(SynchronousTestCase):
    """What is no message."""

    @SETTINGS
    @given(st.binary(max_size=200))
    def test_bytes_that_mean_nothing_raise_only_one_thing(self, data: bytes) -> None:
        """Whatever bytes come: messages, or ``MalformedFrame``."""
        try:
            list(Reader().feed(data))
            list(Reader().feed(len(data).to_bytes(4, "big") + data))
        except MalformedFrame:
            return

    @SETTINGS
    @given(MESSAGES, st.data())
    def test_json_of_another_shape_is_refused(self, message: Message, data: st.DataObject) -> None:
        """A field of another type, or one too few or many, is an error and no message."""
        (values,) = json.loads(encode(message)[4:])
        with self.assertRaises(MalformedFrame):
            self.decoded([*values, 1])
        if len(values) > 1:
            index = data.draw(st.integers(1, len(values) - 1))
            wrong = 1.5 if type(values[index]) is not float else "1.5"
            with self.assertRaises(MalformedFrame):
                self.decoded([*values[:index], wrong, *values[index + 1 :]])
            with self.assertRaises(MalformedFrame):
                self.decoded(values[:-1])

    def decoded(self, values: object) -> list[Message]:
        """The messages in a frame with this array."""
        return list(decode(json.dumps([values]).encode()))

    def test_values_inside_values_are_looked_at(self) -> None:
        """Numbers that mean nothing, texts where texts do not belong, and unknown messages are refused."""
        outcome = Settled(0, Disposition.SENT, "2.0.0", "ok", peer=Peer("host", "address", 1))
        list(Reader().feed(encode(Done(1, (outcome,)))))  # what was good once is remembered, and still looked at
        (values,) = json.loads(encode(Done(1, (outcome, outcome)))[4:])
        for spoil in (
            lambda all: all[2][0].__setitem__(1, "lost"),
            lambda all: all[2].__setitem__(0, 7),
            lambda all: all[2][0].__setitem__(5, ["host", "address"]),
            lambda all: all[2][0].__setitem__(5, ["host", "address", True]),
            lambda all: all[2][0].__setitem__(5, ["host", [], 25]),
            lambda all: all[2][0].__setitem__(5, {}),
            lambda all: all.__setitem__(0, 99),
            lambda all: all.__setitem__(0, -1),
            lambda all: all.__setitem__(0, "Done"),
        ):
            spoiled = json.loads(json.dumps(values))
            spoil(spoiled)
            with self.assertRaises(MalformedFrame):
                list(Reader().feed(framed([spoiled])))
        for wrong in ({}, [[]], [7], 7, [[0, {"a": 1}, {}, "", "", "", True]], values):
            with self.assertRaises(MalformedFrame):
                list(Reader().feed(framed(wrong)))

    def test_a_frame_that_is_too_long_is_not_waited_for(self) -> None:
        """A length beyond ``LONGEST`` is an error as soon as it is read."""
        with self.assertRaises(MalformedFrame):
            list(Reader().feed((wire.LONGEST + 1).to_bytes(4, "big")))

    def test_a_request_that_is_too_long_is_not_sent(self) -> None:
        """The words name the parameter that makes requests shorter."""
        self.patch(wire, "LONGEST", 1000)
        many = tuple(Recipient(f"{number}@there.example") for number in range(100))
        with self.assertRaisesRegex(ValueError, "default_destination_recipient_limit"):
            encode(Deliver(1, "smtp", "x", 0.0, 0, False, Envelope("A1", "", 0.0, 0.0, 0, 0), many))
