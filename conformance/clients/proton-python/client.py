#!/usr/bin/python3
"""Conformance client on Qpid Proton's Python binding. See ../README.md for commands and output."""

import json
import os
import struct
import sys
import uuid

from proton import (UNDESCRIBED, Array, Condition, Data, Described, Delivery, Handler, Message, SSLDomain, Terminus,
                    byte, char, decimal32, decimal64, decimal128, float32, int32, short, symbol, timestamp, ubyte,
                    uint, ulong, ushort)
from proton.handlers import MessagingHandler
from proton.reactor import Container, LinkOption

ARGS = dict(arg.split("=", 1) for arg in sys.argv[2:])
COUNT = int(ARGS.get("count", "1"))
ADDRESS = ARGS.get("address")
SIZE = int(ARGS.get("size", "0"))
POLL = 0.02
PROPERTIES = {key[5:]: value for key, value in ARGS.items() if key.startswith("prop:")}


def say(**line):
    print(json.dumps(line, ensure_ascii=False), flush=True)


def body(i):
    return ("m-%d" % i).ljust(SIZE, ".")


# --- values -------------------------------------------------------------------------------------------------------

PARSERS = {
    "null": lambda text: None,
    "boolean": lambda text: text == "true",
    "ubyte": lambda text: ubyte(int(text)),
    "ushort": lambda text: ushort(int(text)),
    "uint": lambda text: uint(int(text)),
    "ulong": lambda text: ulong(int(text)),
    "byte": lambda text: byte(int(text)),
    "short": lambda text: short(int(text)),
    "int": lambda text: int32(int(text)),
    "long": int,
    "float": lambda text: float32(struct.unpack(">d", bytes.fromhex(text))[0]),
    "double": lambda text: struct.unpack(">d", bytes.fromhex(text))[0],
    "decimal32": lambda text: decimal32(int(text, 16)),
    "decimal64": lambda text: decimal64(int(text, 16)),
    "decimal128": lambda text: decimal128(bytes.fromhex(text)),
    "char": lambda text: char(chr(int(text, 16))),
    "timestamp": lambda text: timestamp(int(text)),
    "uuid": uuid.UUID,
    "binary": bytes.fromhex,
    "string": str,
    "symbol": symbol,
}

STRUCTURED = {
    "list-empty": [],
    "list": [int32(1), "a", True, [ulong(2)]],
    "map": {"k": int32(1), "n": [int32(2)]},
    "array-int": Array(UNDESCRIBED, Data.INT, int32(1), int32(2), int32(3)),
    "array-symbol": Array(UNDESCRIBED, Data.SYMBOL, symbol("a"), symbol("bc")),
    "described": Described(ulong(4660), "x"),
}


def double(value):
    return struct.pack(">d", value).hex()


def canonical(value):
    """`type:text`, the same text in every client."""
    if value is None:
        return "null:"
    if isinstance(value, bool):
        return "boolean:" + ("true" if value else "false")
    for kind, name in ((ubyte, "ubyte"), (ushort, "ushort"), (uint, "uint"), (timestamp, "timestamp"), (ulong, "ulong"),
                       (byte, "byte"), (short, "short"), (int32, "int")):
        if isinstance(value, kind):
            return "%s:%d" % (name, value)
    if isinstance(value, float32):
        return "float:" + double(value)
    if isinstance(value, decimal32):
        return "decimal32:%08x" % value
    if isinstance(value, decimal64):
        return "decimal64:%016x" % value
    if isinstance(value, decimal128):
        return "decimal128:" + value.hex()
    if isinstance(value, char):
        return "char:%x" % ord(value)
    if isinstance(value, symbol):
        return "symbol:" + value
    if isinstance(value, int):
        return "long:%d" % value
    if isinstance(value, float):
        return "double:" + double(value)
    if isinstance(value, uuid.UUID):
        return "uuid:%s" % value
    if isinstance(value, (bytes, memoryview)):
        return "binary:" + bytes(value).hex()
    if isinstance(value, str):
        return "string:" + value
    if isinstance(value, Described):
        return "described:%s|%s" % (canonical(value.descriptor), canonical(value.value))
    if isinstance(value, Array):
        return "array:[" + ",".join(map(canonical, value.elements)) + "]"
    if isinstance(value, list):
        return "list:[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, dict):
        return "map:{" + ",".join(sorted("%s=%s" % (canonical(k), canonical(v)) for k, v in value.items())) + "}"
    return "%s:?" % type(value).__name__


def matrix():
    with open(ARGS["cases"], encoding="utf-8") as file:
        for line in file:
            name, kind, text = line.rstrip("\n").split("\t")
            value = PARSERS[kind](text)
            yield Message(subject=name, body=value, inferred=False, properties={"v": value},
                          annotations={symbol("x-opt-v"): value})
    for name, value in STRUCTURED.items():
        yield Message(subject=name, body=value, inferred=False, annotations={symbol("x-opt-v"): value})
    yield Message(subject="data", body=b"\x00\x01\xff", inferred=True)
    yield Message(subject="sequence", body=[int32(1), "a"], inferred=True)
    message = Message(
        subject="properties", body="p", durable=True, priority=7, ttl=3600, first_acquirer=False, id=ulong(77),
        user_id=b"user", address="to-field", reply_to="reply-field", correlation_id="corr", content_type="text/plain",
        content_encoding="identity", expiry_time=4102444800, creation_time=1700000000, group_id="group",
        group_sequence=5, reply_to_group_id="reply-group")
    message.properties = {"b": True, "s": "text"}
    yield message


def describe(message):
    name = message.subject
    if name == "properties":
        return {"name": name, "properties": {
            "durable": str(message.durable).lower(), "priority": str(message.priority),
            "ttl": str(int(round(message.ttl * 1000))), "message-id": canonical(ulong(message.id)),
            "user-id": bytes(message.user_id).decode(), "to": message.address, "reply-to": message.reply_to,
            "correlation-id": canonical(message.correlation_id), "content-type": str(message.content_type),
            "content-encoding": str(message.content_encoding),
            "expiry": str(int(round(message.expiry_time * 1000))),
            "creation": str(int(round(message.creation_time * 1000))), "group-id": message.group_id,
            "group-sequence": str(message.group_sequence), "reply-to-group-id": message.reply_to_group_id,
            "b": canonical(message.properties["b"]), "s": canonical(message.properties["s"])}}
    value = canonical(message.body)
    if message.inferred:
        value = {"data": "data:" + value.split(":", 1)[1], "sequence": "sequence:" + value.split(":", 1)[1]}[name]
    line = {"name": name, "body": value}
    if message.properties and "v" in message.properties:
        line["prop"] = canonical(message.properties["v"])
    if message.annotations and symbol("x-opt-v") in message.annotations:
        line["ann"] = canonical(message.annotations[symbol("x-opt-v")])
    return line


# --- commands -----------------------------------------------------------------------------------------------------

class Command(MessagingHandler):
    def __init__(self, **options):
        super().__init__(auto_settle=True, **options)
        self.error = None

    def on_start(self, event):
        scheme = "amqps" if "tls" in ARGS else "amqp"
        url = "%s://%s:%s" % (scheme, ARGS.get("host", "127.0.0.1"), ARGS["port"])
        options = {"reconnect": False, "heartbeat": None}
        if "tls" in ARGS:
            domain = SSLDomain(SSLDomain.MODE_CLIENT)
            domain.set_trusted_ca_db(ARGS["ca"])
            domain.set_peer_authentication(SSLDomain.VERIFY_PEER_NAME, ARGS["ca"])
            options["virtual_host"] = ARGS.get("host", "127.0.0.1")
            if "cert" in ARGS:
                domain.set_credentials(ARGS["cert"], ARGS["key"], None)
                options["allowed_mechs"] = "EXTERNAL"
            options["ssl_domain"] = domain
        if "user" in ARGS:
            options.update(user=ARGS["user"], password=ARGS["password"], allowed_mechs=ARGS["mechanism"], allow_insecure_mechs=True)
        if "vhost" in ARGS:
            options["virtual_host"] = ARGS["vhost"]
        if "offer" in ARGS:
            # Of a Python list the binding makes a list, too, where AMQP has an array.
            names = [symbol(name) for name in ARGS["offer"].split(",")]
            options["offered_capabilities"] = names if "list" in ARGS else Array(UNDESCRIBED, Data.SYMBOL, *names)
        self.connection = event.container.connect(url, **options)
        self.begin(event)

    def on_transport_error(self, event):
        self.fail(event, "transport: %s" % event.transport.condition)

    def on_link_error(self, event):
        self.fail(event, "link: %s" % event.link.remote_condition)

    def on_session_error(self, event):
        self.fail(event, "session: %s" % event.session.remote_condition)

    def on_connection_error(self, event):
        self.fail(event, "connection: %s" % event.connection.remote_condition)

    def fail(self, event, text):
        self.error = text
        event.connection.close()
        event.container.stop()

    def done(self, **line):
        say(**line)
        self.connection.close()


class Send(Command):
    """Sends `count` messages to `address`; with `to=a,b` through an anonymous sender instead. `label` is their `to` on other links."""

    def begin(self, event):
        self.to = ARGS["to"].split(",") if "to" in ARGS else None
        options = ([PreSettled()] if "settled" in ARGS else []) + wishes()
        self.sender = event.container.create_sender(self.connection, None if self.to else ADDRESS, options=options)
        self.sent = 0
        self.outcomes = {"accepted": 0, "rejected": 0, "released": 0, "modified": 0}

    def on_sendable(self, event):
        while self.sender.credit and self.sent < COUNT:
            message = Message(body=body(self.sent), subject=ARGS.get("subject"), properties=PROPERTIES or None)
            if self.to:
                message.address = self.to[self.sent % len(self.to)]
            elif "label" in ARGS:
                message.address = ARGS["label"]
            self.sender.send(message)
            self.sent += 1
        if "settled" in ARGS and self.sent == COUNT:
            self.done(sent=self.sent)

    def on_settled(self, event):
        name = {Delivery.ACCEPTED: "accepted", Delivery.REJECTED: "rejected", Delivery.RELEASED: "released",
                Delivery.MODIFIED: "modified"}[event.delivery.remote_state]
        self.outcomes[name] += 1
        if sum(self.outcomes.values()) == COUNT:
            self.done(sent=self.sent, **self.outcomes)


class PreSettled(LinkOption):
    def apply(self, link):
        link.snd_settle_mode = 1


class TargetCapabilities(LinkOption):
    def __init__(self, names):
        self.names = names

    def apply(self, link):
        link.target.capabilities.put_array(False, Data.SYMBOL)
        link.target.capabilities.enter()
        for name in self.names:
            link.target.capabilities.put_symbol(symbol(name))
        link.target.capabilities.exit()


def wishes():
    """What a sender asks of the router for all that it sends."""
    return [TargetCapabilities(ARGS["wish"].split(","))] if "wish" in ARGS else []


class Recv(Command):
    """Receives and accepts `count` messages from `address`."""

    def __init__(self):
        super().__init__(prefetch=100)
        self.received, self.ordered, self.bytes = 0, True, 0

    def begin(self, event):
        self.receiver = event.container.create_receiver(self.connection, ADDRESS)

    def on_link_opened(self, event):
        say(ready=True)

    def on_message(self, event):
        if self.received == COUNT:
            return
        text = event.message.body
        self.ordered &= text.rstrip(".") == "m-%d" % self.received
        self.received += 1
        self.bytes += len(text)
        if event.message.properties:
            say(properties=event.message.properties)
        self.accept(event.delivery)
        if self.received == COUNT:
            self.done(received=self.received, ordered=self.ordered, bytes=self.bytes)


class Numbered(Command):
    """Takes `count` messages, `batch` credits at a time, from somebody who numbers them, and says how many were settled."""

    def __init__(self):
        super().__init__(prefetch=0)
        self.numbers, self.settled, self.batch = [], 0, int(ARGS["batch"])

    def begin(self, event):
        self.receiver = event.container.create_receiver(self.connection, ADDRESS)
        self.receiver.flow(self.batch)

    def on_message(self, event):
        self.numbers.append(event.message.properties["sequence"])
        self.settled += event.delivery.settled
        if len(self.numbers) == COUNT:
            self.done(received=COUNT, settled=self.settled, ordered=self.numbers == list(range(COUNT)))
        elif len(self.numbers) % self.batch == 0:
            self.receiver.flow(self.batch)


class Knock(Command):
    """Attaches a link to `address`, a receiver with `receive=1`, answers a link that comes back, and closes what it attached."""

    def __init__(self):
        super().__init__(prefetch=0)

    def begin(self, event):
        create = event.container.create_receiver if "receive" in ARGS else event.container.create_sender
        self.link = create(self.connection, ADDRESS)

    def on_link_opening(self, event):
        link = event.link
        if link != self.link:
            link.source.copy(link.remote_source)
            link.target.copy(link.remote_target)
            say(echo=link.remote_source.address or link.remote_target.address, sends=link.is_receiver)

    def on_link_opened(self, event):
        terminus = self.link.remote_source if self.link.is_receiver else self.link.remote_target
        # One without is refused: the reason follows.
        if event.link == self.link and terminus.address:
            say(attached=terminus.address)
            self.link.close()

    def on_link_closing(self, event):
        if event.link != self.link:
            say(closed="echo")

    def on_link_closed(self, event):
        if event.link == self.link:
            self.done(closed="link")

    def on_link_error(self, event):
        self.done(refused=event.link.remote_condition.name)


class Request(Command):
    """Sends `count` requests to `address`, one after the other, with a dynamic address to reply to."""

    def begin(self, event):
        self.replies = 0
        self.sender = event.container.create_sender(self.connection, ADDRESS)
        self.receiver = event.container.create_receiver(self.connection, None, dynamic=True)

    def request(self):
        self.sender.send(Message(body="q-%d" % self.replies, reply_to=self.receiver.remote_source.address,
                                 correlation_id=ulong(self.replies)))

    def on_link_opened(self, event):
        if event.receiver == self.receiver:
            self.request()

    def on_message(self, event):
        assert event.message.body == "q-%d!" % self.replies, event.message
        assert event.message.correlation_id == self.replies, event.message
        self.replies += 1
        if self.replies == COUNT:
            self.done(replies=self.replies, reply_to=self.receiver.remote_source.address)
        else:
            self.request()


class Respond(Command):
    """Answers `count` requests on `address` through an anonymous sender."""

    def begin(self, event):
        self.answered = 0
        self.settled = 0
        self.sender = event.container.create_sender(self.connection, None)
        self.receiver = event.container.create_receiver(self.connection, ADDRESS)

    def on_link_opened(self, event):
        if event.receiver == self.receiver:
            say(ready=True)

    def on_message(self, event):
        request = event.message
        self.sender.send(Message(address=request.reply_to, correlation_id=request.correlation_id,
                                 body=request.body + "!"))
        self.answered += 1

    def on_settled(self, event):
        if event.delivery.link == self.sender:
            assert event.delivery.remote_state == Delivery.ACCEPTED
            self.settled += 1
            if self.settled == COUNT:
                self.done(answered=self.answered)


OUTCOMES = ("accept", "reject", "release", "modify")


class OutcomesSend(Command):
    """Sends one message for each outcome that the receiver can give it."""

    def begin(self, event):
        self.seen = {}
        self.names = {}
        self.sender = event.container.create_sender(self.connection, ADDRESS)

    def on_sendable(self, event):
        while self.sender.credit and len(self.names) < len(OUTCOMES):
            name = OUTCOMES[len(self.names)]
            self.names[self.sender.send(Message(body=name, properties=PROPERTIES or None)).tag] = name

    def on_settled(self, event):
        delivery = event.delivery
        seen = {Delivery.ACCEPTED: "accepted", Delivery.REJECTED: "rejected", Delivery.RELEASED: "released",
                Delivery.MODIFIED: "modified"}[delivery.remote_state]
        if seen == "rejected":
            condition = delivery.remote.condition
            if condition:
                seen += ":%s:%s" % (condition.name, condition.description)
        if seen == "modified":
            seen += ":failed=%s:undeliverable=%s" % (str(delivery.remote.failed).lower(),
                                                     str(delivery.remote.undeliverable).lower())
        self.seen[self.names[delivery.tag]] = seen
        if len(self.seen) == len(OUTCOMES):
            self.done(outcomes=self.seen)


class OutcomesRecv(Command):
    """Does with each message what its body says."""

    def __init__(self):
        super().__init__(auto_accept=False)
        self.handled = 0

    def begin(self, event):
        self.receiver = event.container.create_receiver(self.connection, ADDRESS)

    def on_link_opened(self, event):
        say(ready=True)

    def on_message(self, event):
        delivery = event.delivery
        wanted = event.message.body
        if wanted == "accept":
            delivery.update(Delivery.ACCEPTED)
        elif wanted == "reject":
            delivery.local.condition = Condition("test:rejected", "as told")
            delivery.update(Delivery.REJECTED)
        elif wanted == "release":
            delivery.update(Delivery.RELEASED)
        else:
            delivery.local.failed = True
            delivery.local.undeliverable = True
            delivery.update(Delivery.MODIFIED)
        delivery.settle()
        self.handled += 1
        if self.handled == len(OUTCOMES):
            self.done(handled=self.handled)


class TypesSend(Command):
    """Sends a message for every case of the type matrix."""

    def begin(self, event):
        skip = ARGS.get("skip", "").split(",")
        self.messages = (message for message in matrix() if message.subject not in skip)
        self.left = 0
        self.all = False
        self.sender = event.container.create_sender(self.connection, ADDRESS)

    def on_sendable(self, event):
        while self.sender.credit and not self.all:
            message = next(self.messages, None)
            if message is None:
                self.all = True
            else:
                say(sent=message.subject)
                self.sender.send(message)
                self.left += 1

    def on_settled(self, event):
        assert event.delivery.remote_state == Delivery.ACCEPTED
        self.left -= 1
        if self.all and not self.left:
            self.done(done=True)


class TypesRecv(Command):
    """Prints every message of the type matrix until `count` came."""

    def begin(self, event):
        self.received = 0
        self.receiver = event.container.create_receiver(self.connection, ADDRESS)

    def on_link_opened(self, event):
        say(ready=True)

    def on_message(self, event):
        say(**describe(event.message))
        self.received += 1
        if self.received == COUNT:
            self.done(done=True)


class Drain(Command):
    """Drains until `count` messages came, then once more, which must give nothing."""

    def __init__(self):
        super().__init__(prefetch=0)
        self.received = self.drains = 0

    def begin(self, event):
        self.receiver = event.container.create_receiver(self.connection, ADDRESS)

    def on_link_opened(self, event):
        say(ready=True)
        self.receiver.drain(10)

    def on_message(self, event):
        self.received += 1

    def on_link_flow(self, event):
        self.check()

    def on_delivery(self, event):
        super().on_delivery(event) if hasattr(super(), "on_delivery") else None
        self.check()

    def check(self):
        if self.receiver.draining() or self.receiver.credit:
            return
        self.receiver.drained()
        self.drains += 1
        if self.received >= COUNT and self.last:
            self.done(received=self.received, drains=self.drains)
            return
        self.last = self.received >= COUNT
        self.receiver.drain(10)

    last = False


class StreamSend(Command):
    """Sends one message of `size` body bytes, in pieces, never holding more than a few of them; with `until` only half before that file exists."""

    CHUNK = 256 * 1024
    PIECE = bytes(range(256)) * (CHUNK // 256)

    def begin(self, event):
        self.left = SIZE
        self.held = SIZE // 2 if "until" in ARGS else 0
        self.delivery = None
        self.sender = event.container.create_sender(self.connection, ADDRESS, options=wishes())
        if self.held:
            event.container.schedule(POLL, self)

    def on_timer_task(self, event):
        if os.path.exists(ARGS["until"]):
            self.held = 0
            self.feed()
        else:
            event.container.schedule(POLL, self)

    def on_sendable(self, event):
        self.feed()

    def on_link_flow(self, event):
        self.feed()

    def feed(self):
        if self.delivery is None:
            if not self.sender.credit:
                return
            self.delivery = self.sender.delivery(self.sender.delivery_tag())
            # One data section with a 4-byte size (AMQP 1.0 §3.2.6, §1.6.19).
            self.sender.stream(b"\x00\x53\x75\xb0" + struct.pack(">I", SIZE))
        transport = self.connection.transport
        while self.left > self.held and self.delivery.pending < self.CHUNK and transport.pending() < 4 * self.CHUNK:
            piece = self.PIECE[:min(self.left - self.held, self.CHUNK)]
            self.sender.stream(piece)
            self.left -= len(piece)
            if not self.left:
                self.sender.advance()

    def on_unhandled(self, name, event):
        if name == "on_transport" and self.delivery is not None and self.left:
            self.feed()

    def on_settled(self, event):
        self.done(sent=SIZE, state=str(event.delivery.remote_state))


class StreamRecv(Command):
    """Receives one message in pieces, checks its bytes, keeps none of them."""

    def __init__(self):
        super().__init__(auto_accept=False, prefetch=1)
        self.bytes = 0
        self.good = True
        self.head = b""

    def begin(self, event):
        self.receiver = event.container.create_receiver(self.connection, ADDRESS)

    def on_link_opened(self, event):
        say(ready=True)

    # Below MessagingHandler, which would wait for the whole message.
    def on_delivery(self, event):
        delivery = event.delivery
        link = event.link
        if not link.is_receiver or delivery.settled and not delivery.pending:
            return
        while delivery.pending:
            piece = link.recv(delivery.pending)
            if piece is None:
                break
            if len(self.head) < 8:
                take = 8 - len(self.head)
                self.head += piece[:take]
                piece = piece[take:]
            # The body is 0, 1, .. 255, 0, 1, ..: all differences to a shifted reference are zero.
            start = self.bytes % 256
            self.good &= piece == StreamSend.PIECE[start:start + len(piece)] if len(piece) <= StreamSend.CHUNK - 256 \
                else all(piece[i] == (start + i) % 256 for i in range(0, len(piece), 4093))
            self.bytes += len(piece)
        if delivery.aborted:
            self.done(aborted=True, received=self.bytes)
        elif not delivery.partial:
            delivery.update(Delivery.ACCEPTED)
            delivery.settle()
            self.done(received=self.bytes, good=self.good)


# The section that routers put in front of messages: flags, where it goes, where it came in, and the routers that it passed.
ROUTER_ANNOTATIONS = 0x534b50522d2d5241


class AnnotatedSend(Command):
    """Sends a message whose router annotations say it came in at `ingress`, with `flags` and, if it is to go there whatever its link says, `override`."""

    def begin(self, event):
        self.sender = event.container.create_sender(self.connection, ADDRESS)
        self.sent = False

    def on_sendable(self, event):
        if self.sent:
            return
        self.sent = True
        section = Data()
        section.put_described()
        section.enter()
        section.put_ulong(ulong(ROUTER_ANNOTATIONS))
        section.put_list()
        section.enter()
        section.put_uint(uint(int(ARGS.get("flags", "0"))))
        section.put_object(ARGS.get("override"))
        section.put_string(ARGS["ingress"])
        section.put_list()
        section.enter()
        section.put_string(ARGS["ingress"])
        section.exit()
        section.exit()
        section.exit()
        self.sender.delivery(self.sender.delivery_tag())
        self.sender.stream(section.encode() + Message(body=body(0)).encode())
        self.sender.advance()

    def on_settled(self, event):
        self.done(outcome=str(event.delivery.remote_state))


def condition_of(endpoint):
    condition = endpoint.remote_condition
    return None if condition is None else [condition.name, condition.description]


class Try(Command):
    """Attaches what a policy may refuse, one after the other: `links`, each `in:ADDRESS` or `out:ADDRESS`, where `in:` has no target and `out:?` a
    dynamic source. Then sends `messages`, each `TO/USER/SIZE`, on the first sender that is attached. Keeps the connection until `until` exists."""

    def begin(self, event):
        self.links = [link for link in ARGS.get("links", "").split(",") if link]
        self.messages = [m.split("/") for m in ARGS.get("messages", "").split(",") if m]
        self.sender = self.link = None
        self.ended = self.ready = False

    def on_connection_opened(self, event):
        transport = event.connection.transport
        say(opened=True, max_frame=transport.remote_max_frame_size, sessions=transport.remote_channel_max + 1)
        self.next(event)

    def next(self, event):
        if self.ended:
            return
        if self.links:
            kind, address = self.links[0].split(":", 1)
            options = {"name": "link-%d" % len(self.links)}
            if kind == "in":
                self.link = event.container.create_sender(self.connection, address or None, **options)
            else:
                self.link = event.container.create_receiver(
                    self.connection, None if address == "?" else address, dynamic=address == "?", **options)
        elif self.messages:
            self.send()
        else:
            self.wait(event)

    def send(self):
        if self.sender.credit and self.messages:
            to, user, size = self.messages.pop(0)
            message = Message(body="x" * int(size), address=to or None)
            if user:
                message.user_id = user.encode()
            self.sender.send(message)

    def on_sendable(self, event):
        if self.sender and not self.links and event.sender == self.sender and not self.sender.unsettled:
            self.send()

    def wait(self, event):
        if "until" not in ARGS or os.path.exists(ARGS["until"]):
            self.ended = True
            self.done(done=True)
            return
        if not self.ready:
            self.ready = True
            say(ready=True)
        event.reactor.schedule(POLL, Waiter(self))

    def tried(self, event, error):
        say(link=self.links.pop(0), error=error, max_message_size=event.link.remote_max_message_size)
        self.next(event)

    def on_link_opened(self, event):
        link = event.link
        terminus = link.remote_target if link.is_sender else link.remote_source
        if link != self.link or terminus.type == Terminus.UNSPECIFIED:
            # The peer's detach follows, and says why.
            return
        if link.is_sender and not self.sender:
            self.sender = link
        self.tried(event, None)

    def on_link_error(self, event):
        if self.links and event.link == self.link:
            self.tried(event, condition_of(event.link))
        else:
            say(detached=condition_of(event.link))

    def on_settled(self, event):
        delivery = event.delivery
        condition = delivery.remote.condition
        say(outcome=str(delivery.remote_state), error=None if condition is None else [condition.name, condition.description])
        if not self.ended and event.connection.state & event.connection.REMOTE_ACTIVE:
            self.send() if self.messages else self.wait(event)

    def on_connection_error(self, event):
        pass

    def on_connection_remote_close(self, event):
        # The binding is silent about `amqp:connection:forced`.
        condition = condition_of(event.connection)
        if condition:
            self.ended = True
            say(closed=condition)
            event.connection.close()


class Waiter(Handler):
    def __init__(self, command):
        self.command = command

    def on_timer_task(self, event):
        if not self.command.ended:
            self.command.wait(event)


class DeliveriesRecv(Command):
    """Says on which link deliveries come, its own one or one of the router's, when they begin and when they are whole, and what router annotations
    they have. Accepts `count`; with `release=1` it gives all back, until it is killed."""

    def __init__(self):
        super().__init__(auto_accept=False, prefetch=int(ARGS.get("credit", "100")))
        self.arriving = {}
        self.whole = 0

    def begin(self, event):
        self.receiver = event.container.create_receiver(self.connection, ADDRESS)

    def on_link_opening(self, event):
        event.link.source.copy(event.link.remote_source)
        event.link.target.copy(event.link.remote_target)

    def on_link_opened(self, event):
        if event.link == self.receiver:
            say(ready=True)

    def link(self, link):
        return "own" if link == self.receiver else "of the router"

    # Below MessagingHandler, which would wait for the whole message and read no router annotations.
    def on_delivery(self, event):
        delivery, link = event.delivery, event.link
        if not link.is_receiver or not delivery.readable:
            return
        key = (link.name, delivery.tag)
        if key not in self.arriving:
            self.arriving[key] = b""
            say(begun=self.link(link))
        while delivery.pending:
            self.arriving[key] += link.recv(delivery.pending)
        if delivery.partial:
            return
        encoded = self.arriving.pop(key)
        link.advance()
        first = Data()
        size = first.decode(encoded)
        first.rewind()
        first.next()
        section = first.get_object()
        annotations = None
        if section.descriptor == ROUTER_ANNOTATIONS:
            annotations, encoded = section.value, encoded[size:]
        message = Message()
        message.decode(encoded)
        say(link=self.link(link), annotations=annotations, size=len(message.body))
        delivery.update(Delivery.RELEASED if "release" in ARGS else Delivery.ACCEPTED)
        delivery.settle()
        self.whole += 1
        if self.whole == COUNT and "release" not in ARGS:
            self.done(whole=self.whole)


def typed(value):
    """What JSON has no word for: {"$symbol": "x"}, {"$ulong": 5}, {"$uuid": ...}, {"$binary": ...}, and maps with any keys as {"$map": [[key, value]]}."""
    if isinstance(value, list):
        return [typed(item) for item in value]
    if not isinstance(value, dict):
        return value
    kinds = {
        "$symbol": symbol, "$ubyte": ubyte, "$int": int32, "$uint": uint, "$ulong": ulong, "$timestamp": timestamp, "$uuid": uuid.UUID,
        "$binary": lambda text: text.encode(), "$map": lambda pairs: {typed(key): typed(item) for key, item in pairs},
    }
    for kind, make in kinds.items():
        if kind in value:
            return make(value[kind])
    return {key: typed(item) for key, item in value.items()}


def plain(identifier):
    """An identifier of a message and its type, of which the binding tells apart only what it has its own Python types for."""
    if isinstance(identifier, memoryview):
        identifier = bytes(identifier)
    return (int if isinstance(identifier, int) else type(identifier), identifier)


class Manage(Command):
    """Sends the requests of a file, one after the other, and prints what comes back."""

    def begin(self, event):
        with open(ARGS["requests"]) as file:
            self.requests = [json.loads(line) for line in file]
        # Without an address each request says itself where it goes.
        self.sender = event.container.create_sender(self.connection, ADDRESS)
        self.receiver = event.container.create_receiver(self.connection, None, dynamic=True)
        self.opened = 0
        self.next = 0

    def on_link_opened(self, event):
        self.opened += 1
        if self.opened == 2:
            self.request()

    def request(self):
        if self.next == len(self.requests):
            self.done(done=True)
            return
        request = self.requests[self.next]
        body = typed(request.get("body", {}))
        if "size" in request:
            body = {"padding": "x" * request["size"]}
        self.id = typed(request.get("correlation", "id-%d" % self.next))
        properties = typed(request["properties"])
        # An inferred body of bytes is a data section, one of a list a sequence.
        inferred = request.get("section", False)
        message = Message(body=body, properties=properties, correlation_id=self.id, inferred=inferred)
        message.address = request.get("to")
        if request.get("reply", True):
            message.reply_to = self.receiver.remote_source.address
        self.sender.send(message)

    def on_message(self, event):
        message = event.message
        assert plain(message.correlation_id) == plain(self.id), message
        assert isinstance(message.properties["statusCode"], int32), message
        say(status=message.properties["statusCode"], description=message.properties["statusDescription"],
            body=message.body)
        self.next += 1
        self.request()

    def on_settled(self, event):
        if event.delivery.link != self.sender or self.next == len(self.requests):
            return
        answered = self.requests[self.next].get("reply", True)
        if event.delivery.remote_state != Delivery.ACCEPTED or not answered:
            condition = event.delivery.remote.condition
            say(outcome=str(event.delivery.remote_state), condition=condition and condition.name)
            self.next += 1
            self.request()


class Broker(MessagingHandler):
    """Keeps messages by address for who receives from it, until it is killed. Listens on `port`, or connects there with `connect=1`.
    The first links to the address `refuse` are refused, `refusals` of them (1)."""

    def __init__(self):
        super().__init__(prefetch=100)
        self.error = None
        self.queues, self.consumers = {}, {}
        self.refusals = int(ARGS.get("refusals", "1"))

    def on_start(self, event):
        event.container.container_id = ARGS.get("container", "broker")
        place = "127.0.0.1:" + ARGS["port"]
        if "connect" in ARGS:
            self.connection = event.container.connect("amqp://" + place, reconnect=False)
        else:
            self.acceptor = event.container.listen(place)
        say(ready=True)

    def on_connection_opening(self, event):
        event.connection.container = ARGS.get("container", "broker")

    def on_link_opening(self, event):
        link = event.link
        address = link.remote_source.address if link.is_sender else link.remote_target.address
        if address == ARGS.get("refuse") and self.refusals > 0:
            self.refusals -= 1
            link.condition = Condition("amqp:not-found", "no such queue")
            event.reactor.schedule(0, Closer(link))
            return
        link.source.copy(link.remote_source)
        link.target.copy(link.remote_target)
        say(attached=address, sends=link.is_receiver)
        if link.is_sender:
            self.consumers.setdefault(address, []).append(link)

    def on_message(self, event):
        address = event.link.remote_target.address or event.message.address
        self.queues.setdefault(address, []).append(event.message)
        self.dispatch(address)

    def on_sendable(self, event):
        self.dispatch(event.link.remote_source.address)

    def dispatch(self, address):
        queue = self.queues.get(address, [])
        for link in self.consumers.get(address, []):
            while queue and link.credit:
                link.send(queue.pop(0))


class Closer(Handler):
    def __init__(self, link):
        self.link = link

    def on_timer_task(self, event):
        self.link.close()


COMMANDS = {
    "broker": Broker, "manage": Manage, "send": Send, "recv": Recv, "numbered": Numbered, "knock": Knock, "request": Request, "respond": Respond, "outcomes-send": OutcomesSend,
    "outcomes-recv": OutcomesRecv, "types-send": TypesSend, "types-recv": TypesRecv, "drain": Drain,
    "stream-send": StreamSend, "stream-recv": StreamRecv, "annotated-send": AnnotatedSend, "try": Try, "deliveries-recv": DeliveriesRecv,
}


def main():
    command = COMMANDS[sys.argv[1]]()
    if isinstance(command, (StreamRecv, DeliveriesRecv)):
        # Without the handler that assembles messages.
        command.handlers = [h for h in command.handlers if type(h).__name__ != "IncomingMessageHandler"]
    Container(command).run()
    if command.error:
        say(error=command.error)
        sys.exit(1)


main()
