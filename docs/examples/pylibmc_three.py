"""Three Flagstones, and pylibmc (libmemcached) decides which one has a key, by ketama."""

import pylibmc

client = pylibmc.Client(
    ["10.0.0.1:7171", "10.0.0.2:7171", "10.0.0.3:7171"],
    # The text protocol; the binary one works as well.
    binary=False,
    behaviors={
        "ketama": True,
        "tcp_nodelay": True,
        "connect_timeout": 1000,
        # A node that fails this often leaves the ring, and is tried again after so many seconds.
        "remove_failed": 2,
        "retry_timeout": 1,
        "dead_timeout": 5,
    },
)

client.set_multi({f"user:{no}": f"name {no}" for no in range(100)}, time=600)
found = client.get_multi([f"user:{no}" for no in range(100)])
print(len(found), "found")
