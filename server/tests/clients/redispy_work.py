"""redis-py's ordinary work with the server at HOST:PORT: both protocol versions, both of its parsers,
and its asyncio client. FLAGSTONE_WITHOUT names what the server does not have."""

import asyncio
import os
import sys
import threading

import redis
import redis.asyncio
from redis.connection import Connection, DefaultParser
from redis._parsers import _RESP2Parser, _RESP3Parser

host, port = sys.argv[1].split(":")
port = int(port)
without = os.environ.get("FLAGSTONE_WITHOUT", "").split(",")


def refuses(error, call, *arguments, **options):
    try:
        told = call(*arguments, **options)
    except error:
        return
    raise AssertionError(f"{call} answered {told!r}")


def strings(client):
    assert client.ping() and client.echo(b"said") == b"said"
    assert client.get("none") is None and client.set("k", "v") and client.get("k") == b"v"
    assert client.set("k", "w", nx=True) is None and client.set("new", "w", xx=True) is None
    assert client.set("k", "w", px=60_000, get=True) == b"v" and 59_000 < client.pttl("k") <= 60_000
    assert client.set("k", "x", keepttl=True) and client.ttl("k") in (59, 60)
    assert client.persist("k") and client.ttl("k") == -1 and client.ttl("none") == -2
    assert client.expire("k", 50) and client.expire("k", 100, nx=True) is False
    assert client.expire("k", 100, gt=True) and client.expiretime("k") > 1_700_000_000
    assert client.getex("k", persist=True) == b"x" and client.getdel("k") == b"x"
    assert client.append("k", "abc") == 3 and client.append("k", "def") == 6 and client.strlen("k") == 6
    assert client.getrange("k", 1, -2) == b"bcde" and client.setrange("k", 3, "DEF") == 6
    assert client.getset("k", "other") == b"abcDEF" and client.type("k") == b"string"
    assert client.incr("n") == 1 and client.incrby("n", 41) == 42 and client.decr("n", 2) == 40
    assert float(client.incrbyfloat("f", 0.1)) == 0.1 and float(client.incrbyfloat("f", 0.2)) == 0.3
    refuses(redis.ResponseError, client.incr, "k")
    assert client.mset({f"m{no}": no for no in range(2000)})
    found = client.mget([f"m{no}" for no in range(2000)] + ["none"])
    assert found == [b"%d" % no for no in range(2000)] + [None]
    assert client.exists("m0", "m1", "none", "m0") == 3 and client.touch("m0", "none") == 1
    assert client.delete("m0", "m1", "none") == 2 and client.unlink("m2") == 1
    assert client.dbsize() == 2000
    everything = bytes(range(256))
    for length in (0, 1, 4096, 40_000, 1_000_000):
        value = (everything * (length // 256 + 1))[:length]
        assert client.set(everything[:200], value) and client.get(everything[:200]) == value


def server(client):
    info = client.info()
    assert info["redis_mode"] == "standalone" and info["role"] == "master" and info["db0"]["keys"] > 0
    assert client.config_get("maxmemory*")["maxmemory-policy"]
    assert "get" in client.command() and client.command_count() > 50
    assert client.client_setname("me")
    assert client.slowlog_len() >= 0 and client.time()[0] > 1_700_000_000
    assert client.object("encoding", "m5") in (b"int", b"embstr")
    if "client" not in without:
        assert client.client_getname() in (b"me", "me")
        mine = client.client_id()
        assert any(int(other["id"]) == mine for other in client.client_list())
        assert int(client.client_info()["id"]) == mine
    assert sorted(client.scan_iter("m1?", count=100)) == sorted(client.keys("m1?"))
    assert len(set(client.scan_iter(count=500))) == client.dbsize()
    assert client.randomkey() is not None
    if "rename" not in without:
        assert client.rename("m3", "renamed") and client.get("renamed") == b"3" and client.copy("renamed", "m3")
        assert client.msetnx({"new1": 1, "new2": 2}) and not client.msetnx({"new2": 3, "new3": 3})


def bits(client):
    if "bits" in without:
        return
    assert client.setbit("bits", 7, 1) == 0 and client.getbit("bits", 7) == 1 and client.getbit("bits", 900) == 0
    assert client.setbit("bits", 100, 1) == 0 and client.bitcount("bits") == 2 and client.bitcount("bits", 0, 0) == 1


def pipelines(client):
    pipe = client.pipeline(transaction=False)
    for no in range(3000):
        pipe.set(f"p{no}", no).get(f"p{no}")
    told = pipe.execute()
    assert told[1::2] == [b"%d" % no for no in range(3000)] and all(told[::2])
    pipe = client.pipeline(transaction=False)
    told = pipe.set("t", "text").incr("t").get("t").execute(raise_on_error=False)
    assert told[0] and isinstance(told[1], redis.ResponseError) and told[2] == b"text"
    assert client.pipeline().set("a", 1).incr("a").get("a").execute() == [True, 2, b"2"]
    with client.pipeline() as pipe:
        pipe.watch("a")
        seen = int(pipe.get("a"))
        client.set("a", "changed")
        pipe.multi()
        pipe.set("a", seen + 1)
        refuses(redis.WatchError, pipe.execute)
    assert client.transaction(lambda pipe: (pipe.multi(), pipe.set("a", 5)), "a") == [True]
    pipe = client.pipeline()
    pipe.set("b", 1).execute_command("NOSUCH").set("b", 2)
    refuses(redis.ResponseError, pipe.execute)
    assert client.get("b") is None


def scripts(client):
    with client.lock("lock", timeout=10) as lock:
        assert not client.lock("lock", blocking=False).acquire() and lock.owned()
        assert lock.extend(5) and lock.reacquire()
    assert client.get("lock") is None
    lock.local.token = b"a stranger's"
    refuses(redis.exceptions.LockNotOwnedError, lock.release)
    refuses(redis.ResponseError, client.eval, "return redis.call('NOSUCH')", 0)


def databases(client, protocol):
    refuses(redis.ResponseError, client.execute_command, "SELECT", 16)
    if "databases" in without:
        return
    other = redis.Redis.from_url(f"redis://{host}:{port}/1", protocol=protocol)
    other.flushdb()
    assert client.set("shared", 0) and other.get("shared") is None and other.set("shared", 1)
    assert client.get("shared") == b"0" and other.dbsize() == 1 and other.flushdb()
    assert client.get("shared") == b"0" and other.dbsize() == 0
    other.close()


def channels(client):
    listener = client.pubsub()
    listener.subscribe("news", "other")
    listener.psubscribe("n*")
    assert [listener.get_message(timeout=5)["type"] for _ in range(3)] == ["subscribe", "subscribe", "psubscribe"]
    assert client.publish("news", "good") == 2 and client.publish("nobody's", "x") == 1
    kinds = [(told["type"], told["channel"], told["data"]) for told in (listener.get_message(timeout=5) for _ in range(3))]
    assert kinds == [("message", b"news", b"good"), ("pmessage", b"news", b"good"), ("pmessage", b"nobody's", b"x")], kinds
    assert client.pubsub_numsub("news") in ([(b"news", 1)], {b"news": 1}) and b"news" in client.pubsub_channels()
    listener.unsubscribe()
    listener.punsubscribe()
    listener.close()


def long_keys(client):
    for length in (250, 251, 4096, 16_000):
        key = "http://example.org/" + "u" * (length - 19)
        assert client.set(key, length, ex=50) and client.get(key) == b"%d" % length and client.ttl(key) > 40
        assert client.delete(key) == 1
    assert client.set("", "empty") and client.get("") == b"empty" and client.delete("") == 1


def crowd(client):
    """A pool's connections under threads: no answer goes to another thread."""
    wrong = []

    def work(me):
        for no in range(200):
            client.set(f"t{me}", f"{me} {no}")
            if client.get(f"t{me}") != f"{me} {no}".encode():
                wrong.append((me, no))

    threads = [threading.Thread(target=work, args=(me,)) for me in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong


def of_version(protocol, parser):
    pool = redis.ConnectionPool(
        connection_class=Connection, host=host, port=port, protocol=protocol, parser_class=parser, max_connections=16
    )
    client = redis.Redis(connection_pool=pool)
    client.flushdb()
    for part in (strings, server, bits, pipelines, scripts, channels, long_keys, crowd):
        part(client)
    databases(client, protocol)
    assert client.flushdb() and client.dbsize() == 0
    pool.disconnect()


async def of_asyncio(protocol):
    client = redis.asyncio.Redis(host=host, port=port, protocol=protocol, decode_responses=True)
    for first in range(0, 300, 30):
        await asyncio.gather(*(client.set(f"a{no}", f"value {no}", ex=60) for no in range(first, first + 30)))
    assert await client.mget([f"a{no}" for no in range(300)]) == [f"value {no}" for no in range(300)]
    async with client.pipeline(transaction=True) as pipe:
        assert await pipe.set("n", 1).incr("n").execute() == [True, 2]
    assert len([key async for key in client.scan_iter("a*")]) == 300
    listener = client.pubsub()
    await listener.subscribe("news")
    assert (await listener.get_message(timeout=5))["type"] == "subscribe"
    await client.publish("news", "good")
    told = await listener.get_message(timeout=5)
    assert told and told["data"] == "good", told
    await listener.aclose()
    await client.flushdb()
    await client.aclose()


for protocol, parser in ((2, DefaultParser), (2, _RESP2Parser), (3, DefaultParser), (3, _RESP3Parser)):
    of_version(protocol, parser)
    asyncio.run(of_asyncio(protocol))
print("redis-py works")
