"""Three Flagstones, and pymemcache decides which one has a key."""

from pymemcache.client.hash import HashClient

client = HashClient(
    ["10.0.0.1:7171", "10.0.0.2:7171", "10.0.0.3:7171"],
    connect_timeout=1,
    timeout=1,
    # After this many failures a node is left out; its keys go to the others.
    retry_attempts=2,
    retry_timeout=1,
    # It is asked again after so many seconds.
    dead_timeout=5,
    # A node that is down is a miss, not an exception.
    ignore_exc=True,
)

client.set_many({f"user:{no}": f"name {no}" for no in range(100)}, expire=600)
found = client.get_many([f"user:{no}" for no in range(100)])
print(len(found), "found")
