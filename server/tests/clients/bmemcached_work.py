"""python-binary-memcached's ordinary work, in the binary protocol alone, against the servers given as HOST:PORT arguments; the
last of them lets nobody in but `me`, with `secret`."""

import os
import sys
import time

import bmemcached
from bmemcached.exceptions import AuthenticationNotSupported, MemcachedException

*servers, locked = sys.argv[1:]


def one(client):
    client.flush_all()
    assert client.get("none") is None
    assert client.set("k", "v") and client.get("k") == "v"
    assert not client.add("k", "w") and client.replace("k", b"w")
    assert client.get("k") == b"w"
    assert not client.replace("none", "w")
    for thing in (1, 1 << 70, "text", b"bytes", True, {"a": [1, 2, None]}):
        assert client.set("thing", thing) and client.get("thing") == thing

    value, cas = client.gets("k")
    assert value == b"w" and cas
    assert client.cas("k", "x", cas) and not client.cas("k", "y", cas)
    assert client.get("k") == "x"

    assert client.incr("n", 2, default=40) == 40 and client.incr("n", 2) == 42
    assert client.decr("n", 50) == 0

    assert client.delete("k") and client.get("k") is None
    assert client.delete("k")

    many = {f"m{no}": f"value {no}" for no in range(2000)}
    assert client.set_multi(many) == []
    assert client.get_multi([*many, "none"]) == many
    assert client.delete_multi(list(many)[:1000])
    assert len(client.get_multi(list(many))) == 1000

    for length in (0, 1, 100, 4096, 65536, 1_000_000):
        value = os.urandom(length)
        assert client.set("large", value, compress_level=0) and client.get("large") == value

    client.set("brief", "x", time=1)
    time.sleep(2.1)
    assert client.get("brief") is None
    for stats in client.stats().values():
        assert int(stats["cmd_set"]) > 200
    assert client.flush_all() and client.get("m1999") is None


def logins():
    client = bmemcached.Client((locked,), "me", "secret")
    assert client.set("k", "v") and client.get("k") == "v"
    try:
        bmemcached.Client((locked,), "me", "wrong").get("k")
        raise AssertionError("a wrong password")
    except MemcachedException as error:
        assert error.code == 0x20, error
    # Where nobody has to log in, nobody can.
    try:
        assert bmemcached.Client((servers[0],), "me", "secret").set("k", "v")
    except AuthenticationNotSupported:
        pass


one(bmemcached.Client((servers[0],)))
one(bmemcached.DistributedClient(tuple(servers)))
logins()
print("python-binary-memcached works")
