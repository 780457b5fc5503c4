"""pylibmc's (libmemcached's) ordinary work against the servers given as HOST:PORT arguments."""

import sys
import time

import pylibmc

servers = sys.argv[1:]


def one(client):
    client.flush_all()
    assert client.get("none") is None
    assert client.set("k", "v") and client.get("k") == "v"
    assert not client.add("k", "w") and client.replace("k", b"w")
    assert client.append("k", b">") and client.prepend("k", b"<")
    assert client.get("k") == b"<w>"
    # Client flags come back: they say what type a value had.
    for thing in (1, 1 << 70, "text", b"bytes", True, {"a": [1, 2, None]}):
        assert client.set("thing", thing) and client.get("thing") == thing

    assert client.set("n", 41)
    assert client.incr("n") == 42 and client.decr("n", 2) == 40
    assert client.get("n") == 40
    try:
        client.incr("none")
        raise AssertionError("nothing was incremented")
    except pylibmc.NotFound:
        pass

    assert client.touch("k", 100)
    assert client.delete("k") and not client.delete("k")

    many = {f"m{no}": f"value {no}" for no in range(2000)}
    assert client.set_multi(many) == []
    assert client.get_multi([*many, "none"]) == many
    client.delete_multi(list(many)[:1000])
    assert len(client.get_multi(list(many))) == 1000

    for length in (0, 1, 100, 4096, 65536, 1_000_000):
        value = bytes(range(256)) * (length // 256) + b"x" * (length % 256)
        assert client.set("large", value) and client.get("large") == value

    client.set("brief", "x", time=1)
    time.sleep(2.1)
    assert client.get("brief") is None
    client.flush_all()
    assert client.get("m1999") is None


def compare_and_set(binary):
    client = pylibmc.Client(servers[:1], binary=binary, behaviors={"cas": True})
    client.set("c", "old")
    value, cas = client.gets("c")
    assert value == "old" and client.cas("c", "new", cas)
    assert not client.cas("c", "newer", cas)
    assert client.get("c") == "new"


def quiet(binary):
    """Sets without replies, in text all at once, from libmemcached's buffer, which pylibmc takes for an error in binary."""
    behaviors = {"no_block": True, "_noreply": True, "buffer_requests": not binary}
    client = pylibmc.Client(servers[:1], binary=binary, behaviors=behaviors)
    for no in range(2000):
        client.set(f"quiet{no}", no)
    client.get("quiet0")
    client.disconnect_all()
    plain = pylibmc.Client(servers[:1])
    found = plain.get_multi([f"quiet{no}" for no in range(2000)])
    assert found == {f"quiet{no}": no for no in range(2000)}, len(found)


def ring(behaviors, binary):
    client = pylibmc.Client(servers, binary=binary, behaviors=behaviors)
    client.flush_all()
    things = {f"thing:{no}": {"no": no} for no in range(600)}
    assert client.set_multi(things) == []
    assert client.get_multi(list(things)) == things
    assert len(client.get_stats()) == len(servers)
    shares = [len(pylibmc.Client([server]).get_multi(list(things))) for server in servers]
    assert sum(shares) == 600 and all(50 < share < 350 for share in shares), shares
    print(behaviors, "shares", shares)


for binary in (False, True):
    one(pylibmc.Client(servers[:1], binary=binary))
    one(pylibmc.Client(servers[:1], binary=binary, behaviors={"tcp_nodelay": True, "no_block": True}))
    compare_and_set(binary)
    quiet(binary)
    ring({"ketama": True}, binary)
    ring({"ketama_weighted": True}, binary)
print("pylibmc works")
