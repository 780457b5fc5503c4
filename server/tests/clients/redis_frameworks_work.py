"""What Python's frameworks do with a Redis at HOST:PORT: Django's own cache and sessions, django-redis, cachelib,
Flask-Caching, Flask-Session, limits and Celery's results. FLAGSTONE_WITHOUT names what the server does not have."""

import os
import sys
import time
import warnings

# Django warns of keys that memcached would not take.
warnings.simplefilter("ignore")
at = sys.argv[1]
without = os.environ.get("FLAGSTONE_WITHOUT", "").split(",")
url = f"redis://{at}"
# The database that Django's documentation has in its examples.
numbered = url if "databases" in without else f"{url}/1"


class Unpicklable:
    def __getstate__(self):
        raise TypeError("on purpose")


def of_django():
    import django
    from django.conf import settings

    backend = "django.core.cache.backends.redis.RedisCache"
    settings.configure(
        CACHES={
            "default": {"BACKEND": backend, "LOCATION": numbered},
            "prefixed": {"BACKEND": backend, "LOCATION": numbered, "KEY_PREFIX": "shop", "VERSION": 3, "TIMEOUT": 30},
            "django_redis": {
                "BACKEND": "django_redis.cache.RedisCache",
                "LOCATION": numbered,
                "OPTIONS": {"CLIENT_CLASS": "django_redis.client.DefaultClient"},
            },
        },
        SESSION_ENGINE="django.contrib.sessions.backends.cache",
        INSTALLED_APPS=["django.contrib.sessions"],
    )
    django.setup()
    from django.contrib.sessions.backends.cache import SessionStore
    from django.core.cache import caches

    for name in ("default", "prefixed"):
        of_a_cache(caches[name])
    cache = caches["default"]
    caches["prefixed"].set("k", "in the shop")
    cache.set("k", "here")
    assert caches["prefixed"].get("k") == "in the shop" and cache.get("k") == "here"

    session = SessionStore()
    session["cart"] = [1, 2, {"three": 3}]
    session.create()
    again = SessionStore(session.session_key)
    assert again["cart"] == [1, 2, {"three": 3}] and again.exists(session.session_key)
    again.flush()
    assert not SessionStore().exists(session.session_key)
    cache.clear()
    assert cache.get("k") is None

    # Its incr is a script.
    more = caches["django_redis"]
    of_a_cache(more)
    more.set("k", "v", timeout=100)
    assert 90 < more.ttl("k") <= 100 and more.persist("k") and more.ttl("k") is None
    assert more.expire("k", 50) and more.ttl("k") in (49, 50)
    assert more.set("k", "w", nx=True) is False
    for no in range(50):
        more.set(f"page:{no}", no)
    assert len(more.keys("page:*")) == 50 and len(list(more.iter_keys("page:*"))) == 50
    assert more.delete_pattern("page:*") == 50 and more.keys("page:*") == []
    with more.lock("lock", timeout=5):
        assert not more.lock("lock", blocking_timeout=0).acquire(blocking=False)
    more.clear()


def of_a_cache(cache):
    """The public interface of Django's caches."""
    cache.clear()
    for thing in ("text", b"bytes", 5, 1 << 70, -1, True, None, {"a": [1, None]}, "ünïcode"):
        cache.set("thing", thing)
        assert cache.get("thing", "missing") == thing, thing
    assert cache.get("none") is None and cache.get("none", 7) == 7
    assert cache.add("added", 1) and not cache.add("added", 2) and cache.get("added") == 1
    cache.add("stillborn", 1, timeout=0)
    assert cache.get("stillborn") is None
    assert cache.incr("added") == 2 and cache.incr("added", 10) == 12 and cache.decr("added", 2) == 10
    cache.set("answer", 41, timeout=None)
    assert cache.incr("answer") == 42
    try:
        cache.incr("none")
        raise AssertionError("incr of nothing")
    except ValueError:
        pass
    assert cache.touch("added", 100) and not cache.touch("none", 100)
    cache.set("short", 1, timeout=1)
    cache.set("never", 1, timeout=0)
    cache.set("ever", 1, timeout=None)
    assert cache.get("never") is None and cache.has_key("short") and "ever" in cache
    assert cache.get_or_set("computed", lambda: 5 + 5) == 10 and cache.get_or_set("computed", 0) == 10
    cache.set("v", 1, version=1), cache.set("v", 2, version=2)
    assert cache.get("v", version=1) == 1 and cache.get("v", version=2) == 2
    cache.set("moving", "x", version=5)
    assert cache.incr_version("moving", version=5) == 6 and cache.get("moving", version=6) == "x"
    # set_many is a transaction.
    many = {f"m{no}": {"no": no} for no in range(500)}
    assert not cache.set_many(many) and not cache.set_many({"s": 1}, timeout=60)
    assert cache.get_many([*many, "none"]) == many
    cache.delete_many(list(many)[:100])
    assert len(cache.get_many(many)) == 400
    assert cache.delete("added") and not cache.delete("added")
    large = os.urandom(700_000)
    cache.set("large", large)
    assert cache.get("large") == large
    cache.set("key with spaces\tand ünïcode", 1)
    assert cache.get("key with spaces\tand ünïcode") == 1
    cache.set("/a/long/url?" + "q" * 2000, "page")
    assert cache.get("/a/long/url?" + "q" * 2000) == "page"
    try:
        cache.set("unpicklable", Unpicklable())
        raise AssertionError("stored what cannot be pickled")
    except TypeError:
        pass
    time.sleep(1.1)
    assert cache.get("short") is None and cache.get("ever") == 1
    cache.clear()
    assert cache.get("ever") is None


def of_flask():
    import flask
    from cachelib.redis import RedisCache
    from flask_caching import Cache
    from flask_session import Session
    import redis

    host, port = at.split(":")
    cache = RedisCache(host=host, port=int(port), key_prefix="lib:")
    assert cache.set("k", {"a": 1}, timeout=50) and cache.get("k") == {"a": 1} and cache.has("k")
    assert cache.add("k", 2) is False and cache.add("new", 2) and cache.delete("new")
    assert cache.inc("n", 5) == 5 and cache.dec("n", 2) == 3
    # Its set_many is a pipeline without a transaction.
    assert len(cache.set_many({"a": 1, "b": 2, "c": 3}, timeout=50)) == 3
    assert cache.get_many("a", "none", "c") == [1, None, 3] and len(cache.delete_many("a", "b")) == 2
    cache.clear()
    assert not cache.has("k")

    app = flask.Flask("flagstone")
    app.config.update(
        CACHE_TYPE="RedisCache", CACHE_REDIS_URL=numbered, SECRET_KEY="not one", SESSION_TYPE="redis", TESTING=True,
        SESSION_REDIS=redis.from_url(numbered),
    )
    pages = Cache(app)
    Session(app)
    asked = []

    @app.route("/page")
    @pages.cached(timeout=50)
    def page():
        asked.append(1)
        return "made once"

    @pages.memoize(50)
    def square(number):
        asked.append(number)
        return number * number

    @app.route("/visit")
    def visit():
        flask.session["visits"] = flask.session.get("visits", 0) + 1
        return str(flask.session["visits"])

    browser, stranger = app.test_client(), app.test_client()
    assert [browser.get("/page").text for _ in range(3)] == ["made once"] * 3 and asked == [1]
    with app.app_context():
        assert square(7) == 49 and square(7) == 49 and asked == [1, 7]
        pages.delete_memoized(square, 7)
        assert square(7) == 49 and asked == [1, 7, 7]
    assert [browser.get("/visit").text for _ in range(3)] == ["1", "2", "3"] and stranger.get("/visit").text == "1"


def of_limits():
    from limits import parse, storage, strategies

    limiter = strategies.FixedWindowRateLimiter(storage.storage_from_string(numbered))
    five = parse("5/hour")
    assert [limiter.hit(five, "visitor") for _ in range(7)] == [True] * 5 + [False] * 2
    assert limiter.get_window_stats(five, "visitor").remaining == 0 and limiter.hit(five, "another")
    limiter.clear(five, "visitor")
    assert limiter.hit(five, "visitor")


def of_celery():
    import threading
    from celery import Celery, states

    app = Celery("flagstone", backend=numbered, broker="memory://")
    app.conf.result_expires = 100
    backend = app.backend
    assert backend.get_state("nobody") == states.PENDING
    # One waits for what another stores: the announcement is by a channel.
    result = app.AsyncResult("task-1")
    stored = threading.Timer(0.2, lambda: backend.store_result("task-1", {"sum": 42}, states.SUCCESS))
    stored.start()
    assert result.get(timeout=10) == {"sum": 42} and result.state == states.SUCCESS
    try:
        raise KeyError("lost")
    except KeyError as error:
        backend.store_result("task-2", error, states.FAILURE)
    assert isinstance(app.AsyncResult("task-2").result, KeyError)
    assert 90 < backend.client.ttl(backend.get_key_for_task("task-1")) <= 100
    result.forget()
    assert app.AsyncResult("task-1").state == states.PENDING
    several = [app.AsyncResult(f"many-{no}") for no in range(20)]
    for no, one in enumerate(several):
        backend.store_result(one.id, no, states.SUCCESS)
    assert [one.get(timeout=10) for one in several] == list(range(20))


of_django()
of_flask()
of_limits()
of_celery()
print("Django, Flask and limits work, Celery too")
