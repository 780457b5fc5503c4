"""aiomcache's, emcache's and python-memcached's ordinary work with the servers given as HOST:PORT arguments."""

import asyncio
import sys

import aiomcache
import emcache
import memcache

servers = sys.argv[1:]


def halves(server):
    host, port = server.split(":")
    return host, int(port)


async def of_aiomcache():
    client = aiomcache.Client(*halves(servers[0]), pool_size=4)
    await client.flush_all()
    assert await client.get(b"none") is None
    assert await client.set(b"k", b"v", exptime=100) and await client.get(b"k") == b"v"
    assert not await client.add(b"k", b"w") and await client.replace(b"k", b"w")
    assert await client.append(b"k", b">") and await client.prepend(b"k", b"<")
    value, cas = await client.gets(b"k")
    assert value == b"<w>" and await client.cas(b"k", b"x", cas) and not await client.cas(b"k", b"y", cas)
    await client.set(b"n", b"41")
    assert await client.incr(b"n") == 42 and await client.decr(b"n", 2) == 40
    assert await client.touch(b"k", 50) and await client.delete(b"k")
    await asyncio.gather(*(client.set(b"m%d" % no, b"value %d" % no) for no in range(500)))
    found = await client.multi_get(*(b"m%d" % no for no in range(500)), b"none")
    assert found == (*(b"value %d" % no for no in range(500)), None)
    assert (await client.version()).startswith(b"1.6.")
    assert int((await client.stats())[b"curr_items"]) == 501
    await client.close()


async def of_emcache():
    nodes = [emcache.MemcachedHostAddress(*halves(server)) for server in servers]
    client = await emcache.create_client(nodes, autobatching=True)
    for node in nodes:
        await client.flush_all(node)
        await client.cache_memlimit(node, 24)
        assert (await client.version(node)).startswith("1.6.")
        assert (await client.stats(node, "settings"))["cas_enabled"] == "yes"
    await asyncio.gather(*(client.set(b"e%d" % no, b"value %d" % no) for no in range(500)))
    found = await asyncio.gather(*(client.get(b"e%d" % no) for no in range(500)))
    assert [item.value for item in found] == [b"value %d" % no for no in range(500)]
    assert await client.get(b"none") is None
    item = await client.gets(b"e1")
    await client.cas(b"e1", b"new", item.cas)
    try:
        await client.cas(b"e1", b"newer", item.cas)
        raise AssertionError("an old number was taken")
    except emcache.NotStoredStorageCommandError:
        pass
    many = await client.get_many([b"e1", b"e2", b"none"])
    assert {key: item.value for key, item in many.items()} == {b"e1": b"new", b"e2": b"value 2"}
    assert (await client.gat(100, b"e2")).value == b"value 2"
    await client.set(b"n", b"1")
    assert await client.increment(b"n", 5) == 6
    await client.delete(b"e2")
    assert await client.get(b"e2") is None
    await client.close()


def of_python_memcached():
    client = memcache.Client(servers, debug=1, cache_cas=True)
    client.flush_all()
    for thing in ("text", b"bytes", 5, 1 << 70, {"a": [1, None]}):
        assert client.set("thing", thing) and client.get("thing") == thing
    assert client.set_multi({f"p{no}": no for no in range(1000)}) == []
    assert client.get_multi([f"p{no}" for no in range(1000)]) == {f"p{no}": no for no in range(1000)}
    assert client.gets("p1") == 1 and client.cas("p1", 2) and client.get("p1") == 2
    assert client.incr("p1") == 3 and client.touch("p1", 100) and client.delete("p1")
    assert len(client.get_stats()) == len(servers) and len(client.get_slab_stats()) == len(servers)
    client.disconnect_all()


asyncio.run(of_aiomcache())
asyncio.run(of_emcache())
of_python_memcached()
print("aiomcache, emcache and python-memcached work")
