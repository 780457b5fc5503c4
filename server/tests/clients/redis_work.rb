# The work of redis-rb and of Rails' cache store with the server given as HOST:PORT.
# FLAGSTONE_WITHOUT names what the server does not have.

require "redis"
require "active_support"
require "active_support/cache"
require "active_support/cache/redis_cache_store"
require "active_support/core_ext/numeric/time"

WITHOUT = ENV.fetch("FLAGSTONE_WITHOUT", "").split(",")
URL = "redis://#{ARGV[0]}".freeze

def is(told, expected, what)
  return if told == expected

  abort "#{what}: #{told.inspect} instead of #{expected.inspect}"
end

def has(feature)
  yield unless WITHOUT.include?(feature)
end

redis = Redis.new(url: URL)
redis.flushdb
is(redis.get("none"), nil, "a miss")
is(redis.set("k", "v"), "OK", "set")
is(redis.set("k", "w", nx: true), false, "set of what is there")
is(redis.set("k", "w", px: 60_000, get: true), "v", "set and get")
is(redis.set("k", "x", keepttl: true) && redis.ttl("k").between?(58, 60), true, "keepttl")
is(redis.persist("k") && redis.ttl("k"), -1, "persist")
is([redis.expire("k", 5), redis.expireat("k", Time.now.to_i + 50), redis.ttl("none")], [true, true, -2], "expire")
is([redis.append("k", "yz"), redis.getrange("k", 1, -1), redis.setrange("k", 1, "Y")], [3, "yz", 3], "append, getrange")
is([redis.getset("k", "1"), redis.incr("k"), redis.decrby("k", 5), redis.incrbyfloat("k", 0.5)], ["xYz", 2, -3, -2.5], "counting")
is([redis.getdel("k"), redis.exists?("k"), redis.strlen("k")], ["-2.5", false, 0], "getdel")
begin
  redis.set("t", "text")
  redis.incr("t")
  abort "incr of a text"
rescue Redis::CommandError => e
  is(e.message, "ERR value is not an integer or out of range", "its error")
end
many = (0...2000).to_h { |no| ["m#{no}", "value #{no}"] }
is(redis.mapped_mset(many), "OK", "mset")
is(redis.mapped_mget(*many.keys), many, "mget")
is(redis.del(*many.keys), 2000, "del")
everything = (0..255).to_a.pack("C*") * 4000
is(redis.set("large", everything) && redis.get("large").b == everything, true, "a long value")
is(redis.pipelined { |pipe| 1000.times { |no| pipe.set("p#{no}", no); pipe.get("p#{no}") } }.last, "999", "a pipeline")
is(redis.type("t"), "string", "type")
is(redis.info["redis_mode"], "standalone", "info")
has("scan") do
  is([redis.scan_each(match: "p1?").to_a.sort, redis.keys("p1?").sort], [(10..19).map { |no| "p#{no}" }] * 2, "scan")
end
has("multi") do
  is(redis.multi { |many| many.set("a", 1); many.incr("a") }, ["OK", 2], "multi")
  told = redis.watch("a") do
    Redis.new(url: URL).set("a", "another's")
    redis.multi { |many| many.set("a", 3) }
  end
  is(told, nil, "what was watched has changed")
end
has("databases") do
  other = Redis.new(url: "#{URL}/1")
  other.flushdb
  is([other.get("t"), other.dbsize], [nil, 0], "another database")
end
has("pubsub") do
  heard = []
  listener = Thread.new do
    Redis.new(url: URL).subscribe("news") do |on|
      on.subscribe { |channel, _| redis.publish(channel, "good") }
      on.message { |_, message| heard << message; Thread.current.exit }
    end
  end
  listener.join(10)
  is(heard, ["good"], "what was published")
end

# Rails
store = ActiveSupport::Cache::RedisCacheStore.new(url: URL, namespace: "app", error_handler: ->(exception:, **) { raise exception })
is(store.write("k", { a: [1, nil] }, expires_in: 60) && store.read("k"), { a: [1, nil] }, "write, read")
is([store.fetch("made") { "once" }, store.fetch("made") { abort "twice" }], %w[once once], "fetch")
is([store.exist?("made"), store.delete("made"), store.exist?("made")], [true, 1, false], "exist, delete")
is(store.write("only", 1, unless_exist: true) && !store.write("only", 2, unless_exist: true), true, "unless_exist")
is([store.increment("n", 5), store.increment("n"), store.decrement("n", 2)], [5, 6, 4], "increment")
store.write_multi({ "x" => 1, "y" => 2 }, expires_in: 60)
is(store.read_multi("x", "y", "none"), { "x" => 1, "y" => 2 }, "read_multi")
is(store.fetch_multi("x", "z") { |name| name * 2 }, { "x" => 1, "z" => "zz" }, "fetch_multi")
is(store.delete_multi(%w[x y none]), 2, "delete_multi")
store.write("race", 1, expires_in: 0.05, race_condition_ttl: 5)
sleep 0.1
is(store.read("race"), nil, "what is over")
store.write("large", "x" * 900_000)
is(store.read("large").size, 900_000, "a compressed value")
long = "views/#{'very/' * 300}long"
store.write(long, "page")
is(store.read(long), "page", "a long key, which Rails shortens or the server takes")
has("scan") do
  3.times { |no| store.write("post:#{no}", no) }
  store.delete_matched("post:*")
  is(store.read_multi("post:0", "post:1", "post:2"), {}, "delete_matched")
end
store.clear
puts "redis-rb and Rails' cache store work"
