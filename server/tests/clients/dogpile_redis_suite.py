"""The suites that dogpile.cache's package carries for those who write a backend, with its Redis
backend, at the server that FLAGSTONE_AT names. FLAGSTONE_WITHOUT names what that does not have."""

import os

from dogpile.testing.fixtures import _GenericBackendTestSuite, _GenericMutexTestSuite

HOST, PORT = os.environ["FLAGSTONE_AT"].split(":")
ARGUMENTS = {"host": HOST, "port": int(PORT), "redis_expiration_time": 60}
WITHOUT = os.environ.get("FLAGSTONE_WITHOUT", "").split(",")


class TestRedis(_GenericBackendTestSuite):
    backend = "dogpile.cache.redis"
    config_args = {"arguments": ARGUMENTS}


# Its lock is released by a script.
class TestRedisLock(_GenericMutexTestSuite):
    backend = "dogpile.cache.redis"
    config_args = {"arguments": {**ARGUMENTS, "distributed_lock": True}}
