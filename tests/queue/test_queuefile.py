"""Queue files: what is written, what is read back, and what damage does."""

import os
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.mail.envelope import NewMessage, Notify, QueuedMessage, Recipient, Return, Utf8
from smtpclient.queue import envelope_reader, record
from smtpclient.queue.queuefile import BLOCK, CorruptQueueFile, build, read_message
from smtpclient.queue.record import encode
from smtpclient.queue.record_reader import WINDOW
from tests.queue.disk import NOW, DirectFiles, FailingFiles, message, queue_file


def raw(*records: tuple[str, bytes], sizes: bytes = b"", content: bytes = b"N\x02hi") -> bytes:
    """A queue file from envelope records; where one is ``M`` it stands for the content and its end."""
    front, behind = b"", b""
    for kind, data in records:
        if kind == "M":
            front, behind = front + encode(ord("M")), encode(ord("X"))
        elif behind:
            behind += encode(ord(kind), data)
        else:
            front += encode(ord(kind), data)
    fields = sizes or b"%15d %15d %15d %15d %15d %15d" % (len(content), 97 + len(front), 1, 0, len(content), 0)
    return encode(ord("C"), fields) + front + content + behind


T, S, M, E = ("T", b"1000 5"), ("S", b"a@x"), ("M", b""), ("E", b"")


class Case(SynchronousTestCase):
    """Reading of files that a test has made."""

    def setUp(self) -> None:
        self.files: DirectFiles = DirectFiles()
        self.path = os.path.abspath(self.mktemp())
        self.remarks: list[str] = []

    def _read(self, data: bytes) -> QueuedMessage:
        with open(self.path, "wb") as file:
            file.write(data)
        return self._read_again()

    def _read_again(self) -> QueuedMessage:
        fd = os.open(self.path, os.O_RDONLY)
        try:
            return read_message(self.files, fd, self.path, "ID", self.remarks.append)
        finally:
            os.close(fd)

    def _why(self, data: bytes) -> str:
        error: CorruptQueueFile = self.assertRaises(CorruptQueueFile, self._read, data)
        self.assertEqual(error.path, self.path)
        self.assertTrue(0 <= error.offset <= len(data), error.offset)
        return error.why


ADDRESSES = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), min_size=1, max_size=30)
RECIPIENTS = st.builds(
    Recipient,
    address=ADDRESSES,
    original=ADDRESSES | st.just(""),
    offset=st.just(-1),
    orcpt=st.sampled_from(["", "rfc822;x@y", "utf-8;ü@y"]),
    notify=st.integers(0, 15).map(Notify),
)
MESSAGES = st.builds(
    NewMessage,
    sender=ADDRESSES | st.just(""),
    recipients=st.lists(RECIPIENTS, min_size=1, max_size=5),
    content=st.binary(max_size=300),
    encoding=st.sampled_from(["", "7bit", "8bit"]),
    utf8=st.integers(0, 15).map(Utf8),
    envelope_id=st.sampled_from(["", "QQ314159", "a=b"]),
    ret=st.sampled_from(list(Return)),
    full_name=ADDRESSES | st.just(""),
    created=st.none() | st.integers(1, 2**33).map(float),
    attributes=st.dictionaries(
        st.sampled_from(["log_message_origin", "sasl_username"]), st.sampled_from(["", "local"])
    ),
)


class WriteTests(Case):
    """Building a queue file."""

    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(MESSAGES)
    def test_round_trip(self, new: NewMessage) -> None:
        """Everything that a message says of itself is read back as it was, and without a remark."""
        found = self._read(queue_file(new))
        envelope = found.envelope
        self.assertEqual(
            [getattr(envelope, name) for name in ("queue_id", "sender", "encoding", "utf8", "envelope_id", "ret")],
            ["ID", new.sender, new.encoding, new.utf8, new.envelope_id, new.ret],
        )
        self.assertEqual((envelope.full_name, envelope.attributes), (new.full_name, new.attributes))
        self.assertEqual((envelope.arrival, envelope.created), (NOW, int(NOW) if new.created is None else new.created))
        wanted = [one._replace(original=one.original if one.original != one.address else "") for one in new.recipients]
        self.assertEqual([one._replace(offset=-1) for one in found.recipients], wanted)
        self.assertEqual((found.finished, found.warn_at, found.warn_offset, self.remarks), (0, 0.0, -1, []))

    def test_offsets(self) -> None:
        """Each recipient's offset is that of the type byte of its record; content is where it is said to be."""
        data = queue_file(message(b"x\ny\n", recipients=[Recipient("b@x"), Recipient("c@x", "d@x")]))
        found = self._read(data)
        got = [data[one.offset : one.offset + 5] for one in found.recipients]
        self.assertEqual(got, [b"R\x03b@x", b"R\x03c@x"])
        start, length = found.envelope.content_offset, found.envelope.content_length
        self.assertEqual(data[start : start + length + 4], b"N\x01xN\x01yX\0E\0")
        self.assertEqual(found.envelope.size, length)

    def test_size_record(self) -> None:
        """The size record is 97 bytes and says what Postfix's queue manager wants to know."""
        recipients = [Recipient("b@x", notify=Notify.FAILURE), Recipient("c@x", notify=Notify.SUCCESS | Notify.DELAY)]
        data = queue_file(message(b"x\n", recipients=recipients, utf8=Utf8.REQUESTED | Utf8.SENDER))
        start = data.index(b"M\0") + 2
        self.assertEqual(data[:2], b"C\x5f")
        self.assertEqual([int(field) for field in data[2:97].split()], [3, start, 2, 14 << 1, 3, 5])

    def test_delay_warning(self) -> None:
        """The time of the delay warning is read back, and where it stands."""
        data = queue_file(message(), warn_at=NOW + 3600)
        found = self._read(data)
        self.assertEqual((found.warn_at, data[found.warn_offset : found.warn_offset + 2]), (int(NOW) + 3600, b"W\x0f"))

    def test_large(self) -> None:
        """A large message is made in blocks, the size record is right once all are made, and nothing is lost."""
        content = b"".join(b"%d " % number * 20 + b"\n" for number in range(9000))
        blocks = list(build(message(content), NOW).blocks())
        self.assertGreater(len(blocks), 3)
        self.assertLess(max(map(len, blocks)), 2 * BLOCK)
        data = queue_file(message(content))
        found = self._read(data)
        start = found.envelope.content_offset
        self.assertEqual(data[start + found.envelope.content_length :], b"X\0E\0")
        self.assertEqual(found.envelope.content_length, len(content) + content.count(b"\n"))  # two length bytes a line
        self.assertEqual(self.remarks, [])

    def test_content_in_blocks(self) -> None:
        """It does not matter in which blocks the content comes."""
        content = b"Subject: x\n\n" + b"y" * 5000 + b"\nz"
        whole = queue_file(message(content))
        for size in (1, 7, 4096):
            blocks = [content[start : start + size] for start in range(0, len(content), size)]
            self.assertEqual(queue_file(message(blocks)), whole)

    def test_no_content(self) -> None:
        """Content without a line becomes one empty line: Postfix takes a message without any for damaged."""
        nothing: tuple[bytes | list[bytes], ...] = (b"", [], [b"", b""])
        for content in nothing:
            data = queue_file(message(content))
            self.assertEqual(data[self._read(data).envelope.content_offset :], b"N\0X\0E\0")

    def test_refusals(self) -> None:
        """What cannot be written so that it is read back is refused before anything is written."""
        cases: dict[str, dict[str, Any]] = {
            "without recipients": {"recipients": []},
            "recipient without address": {"recipients": [Recipient("")]},
            "sender 'a\\nb'": {"sender": "a\nb"},
            "recipient 'a\\rb'": {"recipients": [Recipient("a\rb")]},
            "original recipient 'a\\x00'": {"recipients": [Recipient("a", "a\0")]},
            "attribute dsn_orig_rcpt": {"recipients": [Recipient("a", orcpt="rfc822;\n")]},
            "attribute envelope_id": {"envelope_id": "\n"},
            "full name": {"full_name": "\n"},
            "'create_time' is no name": {"attributes": {"create_time": "1"}},
            "'a=b' is no name": {"attributes": {"a=b": "c"}},
            "' ' is no name": {"attributes": {" ": "c"}},
        }
        for words, fields in cases.items():
            self.assertIn(words, str(self.assertRaises(ValueError, build, message(**fields), NOW)))

    def test_bytes_that_are_no_text(self) -> None:
        """Addresses that are not UTF-8 survive as they came."""
        sender = b"\xff@x".decode("utf-8", "surrogateescape")
        self.assertEqual(self._read(queue_file(message(sender=sender))).envelope.sender, sender)


class ReadTests(Case):
    """Files as others write them."""

    def test_smallest(self) -> None:
        """Size, time, sender, recipient, content, end are enough."""
        found = self._read(raw(T, S, ("R", b"b@x"), M, E))
        envelope = found.envelope
        self.assertEqual((envelope.sender, envelope.arrival, envelope.created), ("a@x", 1000.000005, 1000.000005))
        self.assertEqual([one.address for one in found.recipients], ["b@x"])

    def test_extracted_recipients(self) -> None:
        """Recipients stand before the content, behind it, or both; attributes likewise."""
        found = self._read(raw(T, S, ("R", b"b@x"), M, ("A", b"notify_flags=1"), ("R", b"c@x"), ("A", b"x=y"), E))
        self.assertEqual([(one.address, one.notify) for one in found.recipients], [("b@x", 0), ("c@x", Notify.NEVER)])
        self.assertEqual(found.envelope.attributes, {"x": "y"})

    def test_state_is_each_recipients_own(self) -> None:
        """What is said before a recipient is forgotten behind it, also when it is done or cancelled."""
        said = [("A", b"notify_flags=4"), ("A", b"dsn_orig_rcpt=rfc822;o"), ("O", b"o@x")]
        for kind in "RD/":
            found = self._read(raw(T, S, *said, (kind, b"b@x"), ("R", b"c@x"), M, E))
            self.assertEqual(found.recipients[-1], Recipient("c@x", offset=found.recipients[-1].offset))
        self.assertEqual((found.finished, len(found.recipients)), (0, 1))

    def test_finished(self) -> None:
        """Done recipients are counted; with no other left the message is whole all the same."""
        found = self._read(raw(T, S, ("D", b"b@x"), ("D", b"c@x"), ("/", b"d@x"), M, E))
        self.assertEqual((found.recipients, found.finished), ((), 2))

    def test_first_counts(self) -> None:
        """What is said twice counts as said first."""
        twice = [("T", b"2000"), ("S", b"z@x"), ("F", b"Two"), ("A", b"k=2"), ("W", b"9")]
        once = [T, S, ("F", b"One"), ("A", b"k=1"), ("W", b"8")]
        found = self._read(raw(*once, *twice, ("R", b"b@x"), M, E))
        envelope = found.envelope
        self.assertEqual((envelope.arrival, envelope.sender, envelope.full_name), (1000.000005, "a@x", "One"))
        self.assertEqual((envelope.attributes, found.warn_at), ({"k": "1"}, 8.0))

    def test_short_forms(self) -> None:
        """The types that are short for attributes mean the same."""
        short = [("c", b"900"), ("i", b"env"), ("<", b"2"), ("n", b"2"), ("o", b"rfc822;o"), ("R", b"b@x")]
        found = self._read(raw(T, S, *short, M, E))
        envelope = found.envelope
        self.assertEqual((envelope.created, envelope.envelope_id, envelope.ret), (900.0, "env", Return.HEADERS))
        self.assertEqual((found.recipients[0].notify, found.recipients[0].orcpt), (Notify.SUCCESS, "rfc822;o"))

    def test_what_delivery_must_not_overlook(self) -> None:
        """Content filter, redirect and VERP are attributes by these names."""
        said = [("L", b"smtp:[::1]:10025"), (">", b"r@x"), ("V", b"+=")]
        found = self._read(raw(T, S, *said, ("R", b"b@x"), M, E))
        wanted = {"content_filter": "smtp:[::1]:10025", "redirect_to": "r@x", "verp_delimiters": "+="}
        self.assertEqual(found.envelope.attributes, wanted)

    def test_passed_over(self) -> None:
        """Legacy types are passed over where Postfix's queue manager takes them."""
        before = [("I", b"x"), ("K", b"killed"), ("C", b"1")]
        behind = [("P", b"1"), ("r", b"x"), ("e", b"x"), ("K", b""), ("I", b"")]
        self.assertEqual(len(self._read(raw(T, S, *before, ("R", b"b@x"), M, *behind, E)).recipients), 1)

    def test_warned_already(self) -> None:
        """A warning that was sent is none that is due."""
        for data in (b"-1", b"%15d" % -1, b"0"):
            self.assertEqual(self._read(raw(T, ("W", data), S, ("R", b"b@x"), M, E)).warn_at, 0.0)

    def test_odd_numbers(self) -> None:
        """Numbers that make no sense in an attribute are ignored, as Postfix does, with a remark."""
        odd = [("A", b"ret_flags=7"), ("A", b"create_time=now"), ("A", b"notify_flags=99"), ("R", b"b@x")]
        found = self._read(raw(T, S, *odd, M, E))
        self.assertEqual((found.envelope.ret, found.envelope.created), (Return.UNSPECIFIED, 1000.000005))
        self.assertEqual(found.recipients[0].notify, 0)
        self.assertEqual(self.remarks, ["ignoring 'now', which should be a number"])

    def test_old_size_records(self) -> None:
        """Size records of three, four and five fields are read; the length on disk is then the size."""
        whole = raw(T, S, ("R", b"b@x"), M, E)
        fields = whole[2:97].split()
        for count in (3, 4, 5):
            sizes = b" ".join(b"%15d" % int(field) for field in fields[:count]).ljust(95)
            self.assertEqual(self._read(raw(T, S, ("R", b"b@x"), M, E, sizes=sizes)).envelope.size, 4)
        self.assertEqual(self.remarks, [])

    def test_fewer_recipients_than_counted(self) -> None:
        """Fewer recipients than the size record counts are worth a remark."""
        data = queue_file(message(recipients=[Recipient("b@x"), Recipient("c@x")]))
        self.assertEqual(len(self._read(data.replace(b"R\x03c@x", b"K\x03c@x")).recipients), 1)
        self.assertEqual(self.remarks, ["1 recipients, where the size record counts 2"])

    def test_wrong_sizes(self) -> None:
        """Sizes that are wrong do not matter: the content ends where its records say so."""
        sound = self._read(raw(T, S, ("R", b"b@x"), M, ("R", b"c@x"), E))
        start = sound.envelope.content_offset
        for length, offset in ((0, 0), (4, 0), (3, start), (5, start), (6, start), (999999, start), (4, start + 1)):
            sizes = b"%15d %15d %15d %15d %15d %15d" % (length, offset, 1, 0, 4, 0)
            found = self._read(raw(T, S, ("R", b"b@x"), M, ("R", b"c@x"), E, sizes=sizes))
            self.assertEqual(found, sound, (length, offset))
            self.assertIn("looking for it", self.remarks.pop())

    def test_content_is_not_read(self) -> None:
        """Of a large message only the ends are read."""
        counting = self.files = FailingFiles()
        self._read(raw(T, S, ("R", b"b@x"), M, ("R", b"c@x"), E, content=b"N\x02hi" * 500_000))
        self.assertEqual(counting.done.count("pread"), 2)

    def test_envelope_larger_than_the_window(self) -> None:
        """A thousand recipients are read in as many windows as it takes, each with its offset."""
        new = message(recipients=[Recipient(f"{'r' * (number % 60)}{number}@x") for number in range(2000)])
        data = queue_file(new)
        found = self._read(data)
        self.assertEqual([one.address for one in found.recipients], [one.address for one in new.recipients])
        self.assertEqual({data[one.offset] for one in found.recipients}, {ord("R")})

    def test_record_larger_than_the_window(self) -> None:
        """A record longer than what is read at once is read whole."""
        long = "x" * (WINDOW + 5000) + "@x"
        data = queue_file(message(recipients=[Recipient("b@x"), Recipient(long), Recipient("c@x")]))
        found = self._read(data)
        self.assertEqual([one.address for one in found.recipients], ["b@x", long, "c@x"])
        self.assertEqual({data[one.offset] for one in found.recipients}, {ord("R")})


def pointer(target: int) -> bytes:
    """A pointer record."""
    return encode(record.POINTER, b"%15d" % target)


class BeginningTests(Case):
    """The beginning that is read at once, because nearly every file has it."""

    def _result(self, data: bytes) -> object:
        try:
            return self._read(data)
        except CorruptQueueFile as error:
            return error.offset, error.why

    def _one_by_one(self, data: bytes) -> object:
        """What the same file says when its records are read one by one."""
        usual, envelope_reader._BEGINNING = envelope_reader._BEGINNING, re.compile(b"(?!)")
        try:
            return self._result(data)
        finally:
            envelope_reader._BEGINNING = usual

    def test_is_met(self) -> None:
        """Of a message of ours it is all up to the content, or, where there are more recipients, up to the times."""
        both = [Recipient("b@x"), Recipient("c@x")]
        for recipients, last in ((both[:1], b"M\0"), (both, b"create_time=%d" % NOW)):
            data = queue_file(message(recipients=recipients, attributes={"log_message_origin": "local"}))
            found = envelope_reader._BEGINNING.match(data)
            self.assertEqual(found and found.end(), data.index(last) + len(last))

    def test_every_byte(self) -> None:
        """With any byte of the envelope changed, it says what its records say one by one."""
        data = queue_file(message(attributes={"a": "b", "c": "d"}))
        for at in range(data.index(b"M\0") + 3):
            for value in {0, 9, 0x20, 0x31, 0x7F, 0x80, 0xFF, *b"AORSMD", data[at] ^ 1, data[at] - 1 & 0xFF}:
                changed = data[:at] + bytes([value]) + data[at + 1 :]
                self.assertEqual(self._result(changed), self._one_by_one(changed), (at, value))

    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(MESSAGES, st.lists(st.tuples(st.integers(90, 300), st.binary(max_size=3)), max_size=2))
    def test_any(self, new: NewMessage, damage: list[tuple[int, bytes]]) -> None:
        """So does every message, sound or damaged."""
        data = bytearray(queue_file(new))
        for at, value in damage:
            data[at : at + len(value)] = value
        self.assertEqual(self._result(bytes(data)), self._one_by_one(bytes(data)))

    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(
        st.lists(
            st.tuples(st.sampled_from("ASASFDOR"), st.sampled_from([b"k=v", b"k=w", b"x@y", b"", b"notify_flags=1"])),
            max_size=6,
        )
    )
    def test_any_records(self, records: list[tuple[str, bytes]]) -> None:
        """So does a message whatever stands between its times and its recipient."""
        times = (("T", b"1800000000 5"), ("A", b"create_time=1800000000"))
        data = raw(*times, *records, ("O", b"b@x"), ("R", b"b@x"), M, E)
        self.assertEqual(self._result(data), self._one_by_one(data))


class PointerTests(Case):
    """Pointers, with which Postfix's cleanup edits a file after it was written."""

    def _with_pointer(self, target: int, appended: bytes = b"") -> bytes:
        """A file with a pointer behind its recipient, and records behind its end."""
        return raw(T, S, ("R", b"b@x"), ("p", b"%15d" % target), M, E) + appended

    def test_empty(self) -> None:
        """A pointer to nowhere is passed over, wherever it stands."""
        zero = ("p", b"%15d" % 0)
        data = raw(zero, T, S, ("R", b"b@x"), zero, M, zero, ("R", b"c@x"), zero, E, content=b"N\x02hi" + pointer(0))
        self.assertEqual([one.address for one in self._read(data).recipients], ["b@x", "c@x"])

    def test_appended_recipient(self) -> None:
        """A recipient that was appended behind the end is found through its pointer, and the way back."""
        end = len(self._with_pointer(0))
        back = self._with_pointer(0).index(b"M\0")
        data = self._with_pointer(end, encode(record.RECIPIENT, b"new@x") + pointer(back))
        found = self._read(data)
        self.assertEqual([(one.address, one.offset) for one in found.recipients][1], ("new@x", end))
        self.assertEqual(self.remarks, [])

    def test_edited_content(self) -> None:
        """Content that goes on behind the end of the file is passed when its end has to be looked for."""
        plain = raw(T, S, ("R", b"b@x"), M, E, content=b"N\x02hi" + pointer(0))
        behind = plain.index(b"X\0E\0")
        edited = (
            plain[: behind - 17] + pointer(len(plain)) + plain[behind:] + b"N\x03newL\x01xw\x02  " + pointer(behind)
        )
        wrong = edited.replace(b"%15d" % (4 + 17), b"%15d" % 3, 1)
        for data in (edited, wrong):
            self.assertEqual(len(self._read(data).recipients), 1)
        self.assertEqual(len(self.remarks), 1)

    def test_circle(self) -> None:
        """Pointers that go round end in a complaint, not in a loop."""
        plain = self._with_pointer(0)
        here = plain.index(b"p\x0f")
        for target in (here, here - 5, 97):
            self.assertIn("circles", self._why(self._with_pointer(target)))

    def test_circle_in_content(self) -> None:
        """Likewise where the end of the content is looked for."""
        data = raw(T, S, ("R", b"b@x"), M, E, sizes=b"0 0 1", content=b"N\x02hi" + pointer(24))
        start = data.index(b"N\x02hi")
        self.assertIn("circles", self._why(data.replace(pointer(24), pointer(start))))

    def test_nowhere(self) -> None:
        """A pointer that is no number or leads out of the file is a complaint that says so."""
        size = len(self._with_pointer(0))
        self.assertIn(f"to {size}, behind the end", self._why(self._with_pointer(size)))
        self.assertIn("not a number", self._why(raw(T, S, ("R", b"b@x"), ("p", b"-5"), M, E)))
        self.assertIn("not a number", self._why(raw(T, S, ("R", b"b@x"), ("p", b"9" * 5000), M, E)))


class DamageTests(Case):
    """Files that are no message."""

    def test_what_is_missing(self) -> None:
        """What a message cannot do without is named when it is missing."""
        rest = (("R", b"b@x"), M, E)
        cases = {
            "no arrival time": raw(S, *rest),
            "no sender": raw(T, M, E),
            "no recipient": raw(T, S, M, E),
            "a recipient before the sender": raw(T, *rest),
            "a recipient without address": raw(T, S, ("R", b""), M, E),
            "instead of the size record": raw(T, S, *rest)[97:],
            "a size record that is not one": raw(T, S, *rest, sizes=b"1 2"),
            "the file ends where another record should be": raw(T, S, *rest)[:-2],
            "an arrival time that is none": raw(("T", b"now"), S, *rest),
            "a warning time that is none": raw(T, ("W", b"x"), S, *rest),
            "an attribute that is none": raw(T, S, ("A", b"nonsense"), *rest),
            "type 'w' in the envelope before": raw(T, S, ("w", b"  "), *rest),
            "type 'E' in the envelope before": raw(T, S, ("E", b""), *rest),
            "type 'T' in the envelope behind": raw(T, S, ("R", b"b@x"), M, T, E),
            "3 bytes in a record of type 'E'": raw(T, S, ("R", b"b@x"), M, ("E", b"abc")),
            "type 'T' in the content": raw(T, S, *rest, sizes=b"0 0 1", content=b"N\x02hiT\x00"),
            "2 bytes in a record of type 'X'": raw(T, S, *rest, sizes=b"0 0 1", content=b"N\x02hiX\x02ab"),
        }
        got = {words: self._why(data) for words, data in cases.items()}
        self.assertEqual({words: why for words, why in got.items() if words not in why}, {})

    def test_empty_file(self) -> None:
        """A file without a byte is no message."""
        self.assertIn("ends", self._why(b""))

    def test_four_gigabytes(self) -> None:
        """A record of four gigabytes, wherever it stands, is refused without asking for the memory."""
        data = raw(T, S, ("R", b"b@x"), M, E, sizes=b"0 0 1")
        huge = b"\xff\xff\xff\xff\x0f"
        for start in (b"C\x05", b"T\x06", b"S\x03", b"N\x02", b"X\0", b"E\0"):
            at = data.index(start) + 1
            self.assertIn("claims", self._why(data[:at] + huge + data[at + 1 :]))

    def test_a_disk_error_is_no_damage(self) -> None:
        """A disk that cannot be read now is an OSError: the message may be sound."""
        self._read(queue_file(message(b"x" * 70 + b"\n")))
        failing = FailingFiles()
        self.files = failing
        for at in (1, 2):
            failing.fails_at = at
            self.assertRaises(OSError, self._read_again)

    def test_every_cut(self) -> None:
        """A file cut at any byte is no message: its end is missing."""
        new = message(recipients=[Recipient("b@x", "o@x", orcpt="rfc822;o@x"), Recipient("c@x")])
        data = queue_file(new, warn_at=NOW)
        for size in range(len(data)):
            self._why(data[:size])

    def test_every_byte(self) -> None:
        """With any byte changed to any of many values, a file is a message or a complaint."""
        data = queue_file(message(b"a: b\n\n" + b"c" * 200 + b"\n"), warn_at=NOW)
        complaints = 0
        for at, byte in enumerate(data):
            for value in {0, 0x0F, 0x7F, 0x80, 0xFF, ord("X"), ord("E"), ord("p"), byte ^ 1, byte ^ 0x80, byte ^ 0x20}:
                changed = data[:at] + bytes([value]) + data[at + 1 :]
                if value != byte:
                    complaints += self._complaints(changed)
        self.assertGreater(complaints, len(data))

    def _complaints(self, data: bytes) -> int:
        try:
            found = self._read(data)
        except CorruptQueueFile:
            return 1
        self.assertTrue(found.recipients or found.finished or b"/\x0e" in data)
        return 0

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(MESSAGES, st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=6)), min_size=1, max_size=4))
    def test_any_damage(self, new: NewMessage, damage: list[tuple[int, bytes]]) -> None:
        """However a file is overwritten, it is a message or a complaint."""
        data = bytearray(queue_file(new))
        for at, value in damage:
            start = at % len(data)
            data[start : start + len(value)] = value
        try:
            self._read(bytes(data))
        except CorruptQueueFile as error:
            self.assertTrue(error.why)

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(st.binary(max_size=200))
    def test_anything(self, data: bytes) -> None:
        """So is what was never a queue file."""
        self._why(data)

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(
        st.lists(st.tuples(st.sampled_from(list("CTASORDWMNLXEpwKFILPn<icV>/re")), st.binary(max_size=17)), max_size=20)
    )
    def test_any_records(self, records: list[tuple[str, bytes]]) -> None:
        """So is any run of records."""
        data = queue_file(message())[:97] + b"".join(encode(ord(kind), value) for kind, value in records)
        try:
            self._read(data)
        except CorruptQueueFile:
            return
