<?php
// phpredis' work with the server given as HOST:PORT, sessions included; Predis'; and what Symfony's and
// Laravel's caches do over them. FLAGSTONE_WITHOUT names what the server does not have.

require_once 'Predis/autoload.php';
require_once 'Symfony/Component/Cache/autoload.php';
require_once 'Symfony/Component/Lock/autoload.php';
require_once 'Illuminate/Cache/autoload.php';
require_once 'Illuminate/Redis/autoload.php';

function is($told, $expected, string $what): void
{
    if ($told !== $expected) {
        fwrite(STDERR, "$what: " . var_export($told, true) . ' instead of ' . var_export($expected, true) . "\n");
        exit(1);
    }
}

$without = explode(',', getenv('FLAGSTONE_WITHOUT') ?: '');
$has = fn(string $feature): bool => !in_array($feature, $without, true);
[$host, $port] = explode(':', $argv[1]);
$port = (int) $port;

$client = new Redis();
is($client->connect($host, $port, 5), true, 'connect');
$client->flushDb();
is($client->get('none'), false, 'a miss');
is($client->set('k', 'v') && $client->get('k') === 'v', true, 'set and get');
is($client->set('k', 'w', ['nx', 'ex' => 10]), false, 'set of what is there');
is($client->set('k', 'w', ['xx', 'px' => 60000]), true, 'set with a deadline');
is($client->pttl('k') > 50000, true, 'pttl');
is($client->setex('s', 50, 'x') && $client->psetex('p', 5000, 'y') && !$client->setnx('s', 1), true, 'setex, setnx');
is([$client->append('k', 'yz'), $client->getRange('k', 1, -1), $client->strlen('k')], [3, 'yz', 3], 'append');
is([$client->incr('n'), $client->incrBy('n', 41), $client->decr('n'), $client->incrByFloat('n', 0.5)], [1, 42, 41, 41.5], 'counting');
is($client->incr('k'), false, 'incr of a text');
is(rtrim($client->getLastError(), "\0"), 'ERR value is not an integer or out of range', 'its error');
$large = random_bytes(1000000);
is($client->set('large', $large) && $client->get('large') === $large, true, 'a long value');
$many = [];
for ($no = 0; $no < 2000; $no++) {
    $many["m$no"] = "value $no";
}
is($client->mset($many) && $client->mget(array_keys($many)) === array_values($many), true, 'mset, mget');
is([$client->del('m0', 'm1', 'none'), $client->unlink('m2'), $client->exists('m3', 'none')], [2, 1, 1], 'del');
$pipe = $client->multi(Redis::PIPELINE);
for ($no = 0; $no < 1000; $no++) {
    $pipe->get("m$no");
}
is($pipe->exec()[999], 'value 999', 'a pipeline');
$client->setOption(Redis::OPT_SERIALIZER, Redis::SERIALIZER_PHP);
is($client->set('thing', ['a' => [1, null]]) && $client->get('thing') === ['a' => [1, null]], true, 'a structure');
$client->setOption(Redis::OPT_SERIALIZER, Redis::SERIALIZER_NONE);
is($client->info()['redis_mode'], 'standalone', 'info');
if ($has('scan')) {
    is(count($client->keys('m1?')), 10, 'keys');
    $client->setOption(Redis::OPT_SCAN, Redis::SCAN_RETRY);
    $cursor = null;
    $seen = [];
    while ($keys = $client->scan($cursor, 'm*', 100)) {
        $seen += array_flip($keys);
    }
    is(count($seen), 1997, 'scan');
}
if ($has('multi')) {
    is($client->multi()->set('a', 1)->incr('a')->get('a')->exec(), [true, 2, '2'], 'multi');
}
if ($has('databases')) {
    is($client->select(1) && $client->get('k') === false && $client->select(0), true, 'another database');
}

// Sessions, and with them their lock.
ini_set('session.save_handler', 'redis');
ini_set('session.save_path', "tcp://$argv[1]" . ($has('databases') ? '?database=2' : ''));
ini_set('session.use_cookies', '0');
ini_set('session.cache_limiter', '');
ini_set('redis.session.locking_enabled', $has('eval') ? '1' : '0');
foreach ([1, 2, 3] as $visit) {
    session_id('flagstone');
    is(session_start(), true, 'session_start');
    $_SESSION['visits'] = ($_SESSION['visits'] ?? 0) + 1;
    is($_SESSION['visits'], $visit, 'a visit');
    is(session_write_close(), true, 'session_write_close');
}
session_start();
is(session_destroy(), true, 'session_destroy');

$predis = new Predis\Client(['host' => $host, 'port' => $port]);
is((string) $predis->set('k', 'v'), 'OK', 'set of Predis');
is([$predis->get('k'), $predis->get('none'), $predis->incr('count'), $predis->ttl('k')], ['v', null, 1, -1], 'Predis');
$told = $predis->pipeline(function ($pipe) {
    for ($no = 0; $no < 1000; $no++) {
        $pipe->set("p$no", $no);
        $pipe->get("p$no");
    }
});
is($told[1999], '999', 'a pipeline of Predis');
if ($has('multi')) {
    is($predis->transaction()->incr('count')->get('count')->execute(), [2, '2'], 'a transaction of Predis');
}

// Symfony, over both clients.
foreach ([$client, $predis] as $connection) {
    $pool = new Symfony\Component\Cache\Adapter\RedisAdapter($connection, 'app', 60);
    is($pool->getItem('page')->isHit(), false, 'a miss of Symfony');
    $made = 0;
    foreach ([1, 2] as $time) {
        is($pool->get('computed', function ($item) use (&$made) {
            $item->expiresAfter(50);
            return ['made' => ++$made];
        }), ['made' => 1], 'get of Symfony');
    }
    for ($no = 0; $no < 200; $no++) {
        $pool->saveDeferred($pool->getItem("d$no")->set($no));
    }
    is($pool->commit(), true, 'commit of Symfony');
    $found = [];
    foreach ($pool->getItems(['d1', 'd199', 'none']) as $key => $item) {
        $found[$key] = $item->get();
    }
    is($found, ['d1' => 1, 'd199' => 199, 'none' => null], 'getItems of Symfony');
    is($pool->deleteItems(['d1', 'd2']) && !$pool->hasItem('d1') && $pool->hasItem('d3'), true, 'deleteItems of Symfony');
    if ($has('scan')) {
        is($pool->clear() && !$pool->hasItem('d3'), true, 'clear of Symfony');
    } else {
        $pool->deleteItem('computed');
    }
}
// Laravel
$manager = fn(string $driver) => new Illuminate\Redis\RedisManager(null, $driver, [
    'default' => ['host' => $host, 'port' => $port, 'database' => $has('databases') ? 1 : 0],
]);
foreach (['phpredis', 'predis'] as $driver) {
    $store = new Illuminate\Cache\RedisStore($manager($driver), 'laravel:');
    $cache = new Illuminate\Cache\Repository($store);
    is($cache->put('k', ['a' => 1], 60) && $cache->get('k') === ['a' => 1], true, 'put of Laravel');
    is([$cache->get('none', 7), $cache->has('k'), $cache->missing('k')], [7, true, false], 'has of Laravel');
    is($cache->forever('n', 5) && $cache->increment('n', 2) === 7 && $cache->decrement('n') === 6, true, 'increment of Laravel');
    is([$cache->remember('made', 60, fn() => 'once'), $cache->remember('made', 60, fn() => exit(2))], ['once', 'once'], 'remember of Laravel');
    is($cache->many(['k', 'none']), ['k' => ['a' => 1], 'none' => null], 'many of Laravel');
    is($cache->pull('k') === ['a' => 1] && $cache->forget('n') && !$cache->has('k'), true, 'pull of Laravel');
    if ($has('multi')) {
        is($cache->putMany(['x' => 1, 'y' => 2], 60) && $cache->many(['x', 'y']) == ['x' => 1, 'y' => 2], true, 'putMany of Laravel');
    }
    if ($has('eval')) {
        is($cache->add('once', 1, 60) && !$cache->add('once', 2, 60), true, 'add of Laravel');
        $lock = $store->lock('lock', 10);
        is($lock->get() && !$store->lock('lock', 10)->get() && $lock->release(), true, 'a lock of Laravel');
    }
    is($cache->clear() && $cache->get('made') === null, true, 'clear of Laravel');
}
echo "phpredis, Predis, Symfony and Laravel work\n";
