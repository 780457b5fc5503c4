"""pymemcache's ordinary work against the servers given as HOST:PORT arguments."""

import sys
import time

from pymemcache.client.base import Client, PooledClient
from pymemcache.client.hash import HashClient
from pymemcache.exceptions import MemcacheClientError, MemcacheServerError
from pymemcache.serde import pickle_serde

servers = sys.argv[1:]


def one(client):
    client.flush_all(noreply=False)
    assert client.version().startswith(b"1.")
    assert client.get("none") is None
    assert client.set("k", "v", noreply=False) is True
    assert client.get("k") == b"v"
    assert client.add("k", "w", noreply=False) is False
    assert client.replace("k", "w", noreply=False) is True
    assert client.append("k", ">", noreply=False) is True
    assert client.prepend("k", "<", noreply=False) is True
    assert client.get("k") == b"<w>"

    value, cas = client.gets("k")
    assert client.cas("k", "new", cas, noreply=False) is True
    assert client.cas("k", "newer", cas, noreply=False) is False
    assert client.cas("none", "x", cas, noreply=False) is None
    assert value == b"<w>" and client.get("k") == b"new"

    assert client.set("n", "41", noreply=False)
    assert client.incr("n", 1, noreply=False) == 42
    assert client.decr("n", 100, noreply=False) == 0
    assert client.incr("none", 1, noreply=False) is None
    try:
        client.incr("k", 1, noreply=False)
        raise AssertionError("a word was incremented")
    except MemcacheClientError:
        pass
    # The connection is still in step after a refusal.
    assert client.get("k") == b"new"

    assert client.touch("k", 100, noreply=False) is True
    assert client.touch("none", 100, noreply=False) is False
    assert client.delete("k", noreply=False) is True
    assert client.delete("k", noreply=False) is False

    many = {f"m{no}": f"value {no}" for no in range(2000)}
    assert client.set_many(many, noreply=False) == []
    found = client.get_many([*many, "none"])
    assert {key: value.decode() for key, value in found.items()} == many
    assert len(client.gets_many(list(many)[:50])) == 50
    assert client.delete_many(list(many)[:1000], noreply=False)
    assert len(client.get_many(many)) == 1000

    for length in (0, 1, 100, 4096, 65536, 1_000_000):
        value = bytes(range(256)) * (length // 256) + b"x" * (length % 256)
        assert client.set("large", value, noreply=False) is True
        assert client.get("large") == value
    try:
        client.set("large", b"x" * (1 << 21), noreply=False)
        raise AssertionError("2 MiB were stored")
    except MemcacheServerError:
        pass
    # What could not be replaced is gone: it would be out of date.
    assert client.get("large") is None

    # The default is not to wait for replies.
    for no in range(500):
        client.set(f"quiet{no}", str(no))
    assert client.get("quiet499") == b"499"

    client.set("brief", "x", expire=1, noreply=False)
    time.sleep(2.1)
    assert client.get("brief") is None

    assert int(client.stats()[b"curr_items"]) > 0
    client.flush_all(noreply=False)
    assert client.get("quiet499") is None
    client.close()


def three(addresses):
    """A hash client over three servers; each gets a share."""
    client = HashClient(addresses, serde=pickle_serde)
    client.flush_all()
    things = {f"thing:{no}": {"no": no, "text": "x" * no} for no in range(600)}
    assert client.set_many(things) == []
    assert client.get_many(things) == things
    for no in range(600):
        assert client.get(f"thing:{no}") == things[f"thing:{no}"]
    shares = [len(Client(address).get_many(list(things))) for address in addresses]
    assert sum(shares) == 600 and all(120 < share < 280 for share in shares), shares
    print("shares", shares)


first = servers[0]
one(Client(first))
one(PooledClient(first, max_pool_size=4))
three(servers)
print("pymemcache works")
