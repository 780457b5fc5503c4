// node-redis' work with the server given as HOST:PORT. FLAGSTONE_WITHOUT names what it does not have.

const assert = require("assert");
const redis = require("redis");

const without = (process.env.FLAGSTONE_WITHOUT || "").split(",");
const has = (feature) => !without.includes(feature);
const url = `redis://${process.argv[2]}`;

async function work() {
  const client = redis.createClient({ url });
  client.on("error", (error) => {
    throw error;
  });
  await client.connect();
  await client.flushDb();
  assert.equal(await client.ping(), "PONG");
  assert.equal(await client.get("none"), null);
  assert.equal(await client.set("k", "v"), "OK");
  assert.equal(await client.set("k", "w", { NX: true }), null);
  assert.equal(await client.set("k", "w", { PX: 60000, GET: true }), "v");
  assert.equal(await client.set("k", "x", { KEEPTTL: true }), "OK");
  assert.ok((await client.pTTL("k")) > 50000);
  assert.equal(await client.expire("k", 100, "GT"), true);
  assert.equal(await client.persist("k"), true);
  assert.equal(await client.getEx("k", { EX: 50 }), "x");
  assert.equal(await client.append("k", "yz"), 3);
  assert.equal(await client.getRange("k", 1, -1), "yz");
  assert.equal(await client.incrBy("n", 42), 42);
  assert.equal(await client.incrByFloat("n", 0.5), "42.5");
  await assert.rejects(client.incr("k"), /value is not an integer or out of range/);
  const pairs = {};
  for (let no = 0; no < 2000; no++) pairs[`m${no}`] = `value ${no}`;
  assert.equal(await client.mSet(pairs), "OK");
  assert.deepEqual(await client.mGet([...Object.keys(pairs), "none"]), [...Object.values(pairs), null]);
  const large = Buffer.alloc(900000, "\r\n\0");
  await client.set("large", large);
  assert.ok(large.equals(await client.get(redis.commandOptions({ returnBuffers: true }), "large")));
  // What is asked in one turn is one write.
  const told = await Promise.all(Array.from({ length: 3000 }, (_, no) => client.get(`m${no % 2000}`)));
  told.forEach((value, no) => assert.equal(value, `value ${no % 2000}`));
  assert.equal(await client.del(["m0", "m1", "none"]), 2);
  assert.equal(await client.exists("m2"), 1);
  assert.match(await client.info(), /redis_mode:standalone/);
  if (has("scan")) {
    const seen = new Set();
    for await (const key of client.scanIterator({ MATCH: "m1?", COUNT: 500 })) seen.add(key);
    assert.equal(seen.size, 10);
  }
  if (has("multi")) {
    assert.deepEqual(await client.multi().set("a", "1").incr("a").get("a").exec(), ["OK", 2, "2"]);
    const watched = client.executeIsolated(async (own) => {
      await own.watch("a");
      await client.set("a", "another's");
      return own.multi().set("a", "3").exec();
    });
    await assert.rejects(watched, redis.WatchError);
  }
  if (has("databases")) {
    const other = redis.createClient({ url: `${url}/1` });
    await other.connect();
    await other.flushDb();
    assert.equal(await other.get("k"), null);
    await other.quit();
  }
  if (has("pubsub")) {
    const listener = client.duplicate();
    await listener.connect();
    const heard = new Promise((resolve) => listener.subscribe("news", resolve));
    while ((await client.publish("news", "good")) === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(await heard, "good");
    await listener.unsubscribe("news");
    await listener.quit();
  }
  await client.flushDb();
  assert.equal(await client.dbSize(), 0);
  await client.quit();
  console.log("node-redis works");
}

work().catch((error) => {
  console.error(error);
  process.exit(1);
});
