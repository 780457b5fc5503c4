"""The suites that dogpile.cache's package carries for those who write a backend, with its
four memcached backends, the last of which speaks binary, at the server that FLAGSTONE_AT names."""

import os

from dogpile.testing.fixtures import _GenericBackendTestSuite, _GenericMutexTestSuite

AT = os.environ["FLAGSTONE_AT"]



class Common:
    config_args = {"arguments": {"url": AT}}
    # Keys of decorated functions have spaces.
    region_args = {"key_mangler": lambda key: key.replace(" ", "_")}


class Locked(Common):
    config_args = {"arguments": {"url": AT, "distributed_lock": True}}


class TestPymemcache(Common, _GenericBackendTestSuite):
    backend = "dogpile.cache.pymemcache"


class TestPymemcacheLock(Locked, _GenericMutexTestSuite):
    backend = "dogpile.cache.pymemcache"


class TestPylibmc(Common, _GenericBackendTestSuite):
    backend = "dogpile.cache.pylibmc"


class TestPylibmcLock(Locked, _GenericMutexTestSuite):
    backend = "dogpile.cache.pylibmc"


class TestPythonMemcached(Common, _GenericBackendTestSuite):
    backend = "dogpile.cache.memcached"


class TestPythonMemcachedLock(Locked, _GenericMutexTestSuite):
    backend = "dogpile.cache.memcached"


class TestBMemcached(Common, _GenericBackendTestSuite):
    backend = "dogpile.cache.bmemcached"


class TestBMemcachedLock(Locked, _GenericMutexTestSuite):
    backend = "dogpile.cache.bmemcached"
