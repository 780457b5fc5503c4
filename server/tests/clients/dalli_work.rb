# Dalli's ordinary work, in the binary protocol that it speaks by default, against the servers given as HOST:PORT arguments; the
# last of them lets nobody in but `me`, with `secret`.

require "dalli"

def is(told, expected, what)
  raise "#{what}: #{told.inspect} instead of #{expected.inspect}" unless told == expected
end

*servers, locked = ARGV
client = Dalli::Client.new(servers, protocol: :binary)
client.flush
is(client.get("none"), nil, "a miss")
[1, "text", "\0\r\n", { "a" => [1, nil] }].each do |thing|
  is(client.set("thing", thing, 100) ? true : false, true, "set")
  is(client.get("thing"), thing, "get")
end
is(client.add("thing", 1) ? true : false, false, "add of what is there")
is([0, false].include?(client.replace("none", 1)), true, "replace of nothing")
client.set("k", "v", 0, raw: true)
is(client.append("k", ">") ? true : false, true, "append")
is(client.prepend("k", "<") ? true : false, true, "prepend")
is(client.get("k", raw: true), "<v>", "both")
is(client.cas("thing") { |value| value.merge("b" => 2) } ? true : false, true, "cas")
is(client.get("thing"), { "a" => [1, nil], "b" => 2 }, "what cas made")
is(client.incr("n", 2, 0, 40), 40, "incr of nothing")
is(client.incr("n", 2), 42, "incr")
is(client.decr("n", 50), 0, "decr below 0")
is(client.touch("k", 100) ? true : false, true, "touch")
is(client.gat("thing", 100), { "a" => [1, nil], "b" => 2 }, "gat")
is(client.delete("k") ? true : false, true, "delete")
is(client.delete("k") ? true : false, false, "delete again")
large = Random.bytes(1_000_000)
client.set("large", large, 0, compress: false)
is(client.get("large") == large, true, "a long value")
many = (0...2000).to_h { |no| ["m#{no}", no] }
client.multi { many.each { |key, value| client.set(key, value) } }
is(client.get_multi(*many.keys, "none"), many, "get_multi")
is(client.stats.size, servers.size, "stats")
client.version.each_value { |version| is(version.match?(/\A1\.6\.\d+\z/), true, "version") }
client.flush
is(client.get("m1"), nil, "flush")

me = Dalli::Client.new(locked, protocol: :binary, username: "me", password: "secret")
me.set("k", "v")
is(me.get("k"), "v", "behind a login")
begin
  Dalli::Client.new(locked, protocol: :binary, username: "me", password: "wrong").get("k")
  raise "a wrong password"
rescue Dalli::DalliError, Dalli::NetworkError
  nil
end
puts "dalli works"
