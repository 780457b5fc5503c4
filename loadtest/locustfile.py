"""Many users with a connection each, who do not believe what they read.

    locust --locustfile loadtest/locustfile.py --host tcp://HOST:7171 --users 10000 --spawn-rate 100 --run-time 30m

A user stores a few keys and then, now and then, reads one of them, reads somebody else's, stores one anew, asks for what
nobody ever stored, or sees a key come and go. Whatever is not as it has to be is a failure in Locust's report:

- A value says whose it is and which of many, and its length follows from both. Another key's, a torn or a damaged one
  cannot pass.
- Each key has one writer, so its versions are ordered. A reader may see any between the last one that was acknowledged
  before it asked and the last one that was sent when the answer came. An older one is an update lost.
- NOTFOUND for a key that was stored is a failure. The users' keys are few enough to fit beside their connections
  (README.md has the sum), so nothing has to be evicted. Who makes them too many says --may-evict: then they may
  be absent as often as the server says that it has evicted something, and no oftener.
- A found key that was deleted, or never stored, is a failure.

Every wait has an end: connecting and each reply.
"""

import logging
import random
import socket
import time
import zlib
from urllib.parse import urlsplit

import gevent
from locust import User, constant_throughput, events, task
from locust.runners import WorkerRunner

log = logging.getLogger("flagstone")


class Wrong(Exception):
    """The server said what it must not say. The sentence names no key: Locust counts equal ones together."""


class Ledger:
    """What this process has stored: for each key the newest version acknowledged, and the newest one sent."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, int] = {}
        self.sent: dict[str, int] = {}
        self.keys: list[str] = []
        self.evicted = 0
        # The run has been told to end.
        self.ends = False

    def add(self, key: str) -> None:
        self.acknowledged[key] = self.sent[key] = 0
        self.keys.append(key)


# One process, one ledger: its users are greenlets and take turns.
ledger = Ledger()
# Another run against the same server must not find this one's keys.
run_name = f"{time.time_ns() // 1_000_000 % 2**32:08x}"


def value_of(key: str, version: int, mean_bytes: int) -> bytes:
    """What is stored under `key`: half as long to half as long again as the mean, by its checksum."""
    head = f"{key}={version};".encode()
    check = zlib.crc32(head)
    length = mean_bytes // 2 + check % (mean_bytes + 1)
    filling = b"%08x" % check
    return (head + filling * (length // len(filling) + 1))[: max(length, len(head) + len(filling))]


class Connection:
    """Lines there and back. It knows the protocol's shape, not its meaning."""

    def __init__(self, address: tuple[str, int], timeout: float) -> None:
        self.socket = socket.create_connection(address, timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""

    def ask(self, request: bytes) -> bytes:
        self.socket.sendall(request + b"\n")
        return self.line()

    def line(self) -> bytes:
        while b"\n" not in self.received:
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionError("the server closed the connection")
            self.received += more
        line, _, self.received = self.received.partition(b"\n")
        return line

    def stats(self) -> dict[str, str]:
        line = self.ask(b"STATS")
        found = {}
        while line != b"END":
            name, _, value = line.decode().partition(" ")
            found[name] = value
            line = self.line()
        return found

    def close(self) -> None:
        self.socket.close()


def address_of(host: str | None) -> tuple[str, int]:
    """`tcp://HOST:PORT`; the port may be left out."""
    parts = urlsplit(host or "tcp://127.0.0.1:7171")
    if parts.scheme != "tcp" or not parts.hostname:
        raise SystemExit(f"--host {host} is not tcp://HOST:PORT")
    return parts.hostname, parts.port or 7171


@events.init_command_line_parser.add_listener
def _(parser) -> None:
    group = parser.add_argument_group("Flagstone")
    group.add_argument("--requests-per-second", type=float, default=0.1, help="of each user; they wait in between")
    group.add_argument("--keys-per-user", type=int, default=4, help="that it stores and reads")
    group.add_argument("--value-bytes", type=int, default=100, help="in the mean")
    group.add_argument("--reply-timeout", type=float, default=10.0, help="seconds for a reply, and for connecting")
    group.add_argument("--until-wrong", action="store_true", help="end at the first failure, or the first key that is absent")
    group.add_argument("--may-evict", action="store_true", help="the keys do not all fit: see the file's head")


class CacheUser(User):
    """One connection, some keys."""

    count = 0

    def wait_time(self) -> float:
        # Users keep a pace, and do not ask faster because the answers come faster.
        return constant_throughput(self.options.requests_per_second)(self)

    @property
    def options(self):
        return self.environment.parsed_options

    def on_start(self) -> None:
        CacheUser.count += 1
        runner = self.environment.runner
        worker = runner.worker_index if isinstance(runner, WorkerRunner) else 0
        name = f"{run_name}:{worker}:{CacheUser.count}"
        self.dice = random.Random(name)
        self.connection: Connection | None = None
        self.mine = [f"{name}:{no}" for no in range(self.options.keys_per_user)]
        self.fleeting = f"{name}:fleeting"
        self.nobodys = f"{name}:nobodys"
        for key in self.mine:
            ledger.add(key)
            self.put(key)

    def on_stop(self) -> None:
        if self.connection:
            self.connection.close()

    # What users do, and how often.

    @task(8)
    def read_own(self) -> None:
        self.get("GET own", self.dice.choice(self.mine))

    @task(6)
    def read_others(self) -> None:
        self.get("GET another's", self.dice.choice(ledger.keys))

    @task(4)
    def store(self) -> None:
        self.put(self.dice.choice(self.mine))

    @task(1)
    def ask_for_nothing(self) -> None:
        self.expect("GET nobody's", b"GET " + self.nobodys.encode(), b"NOTFOUND")

    @task(1)
    def come_and_go(self) -> None:
        key = self.fleeting.encode()
        value = value_of(self.fleeting, self.dice.getrandbits(30), self.options.value_bytes)
        came = self.expect("PUT fleeting", b"PUT " + key + b" " + value, b"OK")
        if came and self.expect("DEL fleeting", b"DEL " + key, b"OK"):
            self.expect("GET deleted", b"GET " + key, b"NOTFOUND")

    # How they check.

    def put(self, key: str) -> None:
        version = ledger.sent[key] = ledger.sent[key] + 1
        value = value_of(key, version, self.options.value_bytes)
        if self.expect("PUT", f"PUT {key} ".encode() + value, b"OK"):
            ledger.acknowledged[key] = version

    def get(self, name: str, key: str) -> None:
        oldest = ledger.acknowledged[key]

        def judge(reply: bytes) -> None:
            if reply == b"NOTFOUND":
                if oldest == 0:
                    return  # never acknowledged: nobody promised anything
                if not self.options.may_evict:
                    raise Wrong("NOTFOUND, and it was stored")
                ledger.evicted += 1
                self.end_if_asked()
                return
            owner, _, rest = reply.decode("ascii", "replace").partition("=")
            if owner != key:
                raise Wrong("a value of another key, or none at all")
            version = int(rest.partition(";")[0]) if rest.partition(";")[0].isdecimal() else -1
            if reply != value_of(key, version, self.options.value_bytes):
                raise Wrong("a value torn or damaged")
            if version < oldest:
                raise Wrong("an old value, after a newer one was acknowledged")
            if version > ledger.sent[key]:
                raise Wrong("a value that nobody has stored")

        self.exchange(name, f"GET {key}".encode(), judge)

    def expect(self, name: str, request: bytes, expected: bytes) -> bool:
        def judge(reply: bytes) -> None:
            if reply != expected:
                raise Wrong(f"{reply[:40]!r} and not {expected!r}")

        return self.exchange(name, request, judge)

    def exchange(self, name: str, request: bytes, judge) -> bool:
        """Asks, judges and reports; whether all was well. Time counts from the request on, not from connecting."""
        problem: Exception | None = None
        reply = b""
        start = time.perf_counter()
        try:
            if self.connection is None:
                self.connection = Connection(address_of(self.host), self.options.reply_timeout)
                self.report("connect", start, 0, None)
                start = time.perf_counter()
            reply = self.connection.ask(request)
            judge(reply)
        except Wrong as error:
            problem = error
        except OSError as error:
            # What else would arrive here belongs to nobody: the next request begins anew.
            problem = error
            if self.connection:
                self.connection.close()
            self.connection = None
        self.report(name, start, len(reply), problem)
        return problem is None

    def report(self, name: str, start: float, length: int, problem: Exception | None) -> None:
        self.environment.events.request.fire(
            request_type="TCP",
            name=name,
            response_time=(time.perf_counter() - start) * 1000,
            response_length=length,
            exception=problem,
            context={},
        )
        if problem is not None:
            self.end_if_asked()

    def end_if_asked(self) -> None:
        if self.options.until_wrong and not ledger.ends:
            # Once: a second call would end the process while test_stop still asks the server.
            ledger.ends = True
            # Not from here: it ends the users, of whom this is one.
            gevent.spawn(self.environment.runner.quit)


@events.test_stop.add_listener
def _(environment, **_) -> None:
    """What the server says of the run; and whether as much is absent as it has evicted."""
    options = environment.parsed_options
    try:
        connection = Connection(address_of(environment.host), options.reply_timeout)
        stats = connection.stats()
        connection.close()
    except OSError as error:
        log.error("the server cannot be asked how it stands: %s", error)
        environment.process_exit_code = 1
        return
    names = ["connections", "connections_served", "requests", "hits", "misses", "items", "evictions", "memory_usage_bytes"]
    log.info("server: %s", ", ".join(f"{name} {stats.get(name)}" for name in names))
    if ledger.evicted > int(stats["evictions"]):
        log.error("%d stored keys were absent, and the server has evicted %s", ledger.evicted, stats["evictions"])
        environment.process_exit_code = 1
