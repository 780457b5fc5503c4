<?php
// php-memcached's ordinary work, in text and in the binary protocol, against the servers given as HOST:PORT
// arguments, sessions included.

function is($told, $expected, string $what): void
{
    if ($told !== $expected) {
        fwrite(STDERR, "$what: " . var_export($told, true) . ' instead of ' . var_export($expected, true) . "\n");
        exit(1);
    }
}

$servers = array_map(fn($server) => [explode(':', $server)[0], (int) explode(':', $server)[1]], array_slice($argv, 1));
foreach ([false, true] as $binary) {
    $client = new Memcached();
    $client->setOption(Memcached::OPT_BINARY_PROTOCOL, $binary);
    $client->setOption(Memcached::OPT_LIBKETAMA_COMPATIBLE, true);
    $client->addServers($servers);
    foreach ($client->getVersion() as $version) {
        is(preg_match('/^1\.6\.\d+$/', $version), 1, 'version');
    }

    $client->flush();
    is($client->get('none'), false, 'a miss');
    is($client->getResultCode(), Memcached::RES_NOTFOUND, 'its code');
    foreach ([1, 1.5, true, 'text', "\0\r\n", ['a' => [1, null]]] as $thing) {
        is($client->set('thing', $thing, 100), true, 'set');
        is($client->get('thing'), $thing, 'get');
    }
    is($client->add('thing', 1), false, 'add of what is there');
    is($client->getResultCode(), $binary ? Memcached::RES_DATA_EXISTS : Memcached::RES_NOTSTORED, 'its code');
    $client->setOption(Memcached::OPT_COMPRESSION, false);
    is($client->set('k', 'v') && $client->append('k', '>') && $client->prepend('k', '<'), true, 'append, prepend');
    $got = $client->get('k', null, Memcached::GET_EXTENDED);
    is($got['value'], '<v>', 'gets');
    is($client->cas($got['cas'], 'k', 'w'), true, 'cas');
    is($client->cas($got['cas'], 'k', 'x'), false, 'cas with an old number');
    is($client->getResultCode(), Memcached::RES_DATA_EXISTS, 'its code');
    is($client->set('n', 41), true, 'a number');
    is($client->increment('n'), 42, 'increment');
    if ($binary) {
        is($client->increment('new', 1, 40, 100), 40, 'increment of nothing');
    }
    is($client->decrement('n', 50), 0, 'decrement below 0');
    is($client->touch('k', 100), true, 'touch');
    is($client->delete('k'), true, 'delete');
    $large = random_bytes(1000000);
    is($client->set('large', $large) && $client->get('large') === $large, true, 'a long value');
    $many = [];
    for ($no = 0; $no < 2000; $no++) {
        $many["m$no"] = $no;
    }
    is($client->setMulti($many), true, 'setMulti');
    is($client->getMulti(array_keys($many), Memcached::GET_PRESERVE_ORDER), $many, 'getMulti');
    is(count($client->getStats()), count($servers), 'stats');
}

// Sessions, with their lock.
ini_set('session.save_handler', 'memcached');
ini_set('session.save_path', $argv[1]);
ini_set('session.use_cookies', '0');
ini_set('session.cache_limiter', '');
foreach (['Off', 'On'] as $binary) {
    ini_set('memcached.sess_binary_protocol', $binary);
    foreach ([1, 2, 3] as $visit) {
        session_id("flagstone$binary");
        is(session_start(), true, 'session_start');
        $_SESSION['visits'] = ($_SESSION['visits'] ?? 0) + 1;
        is($_SESSION['visits'], $visit, 'a visit');
        is(session_write_close(), true, 'session_write_close');
    }
}
echo "php-memcached works\n";
