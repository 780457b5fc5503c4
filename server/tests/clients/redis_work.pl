# Redis.pm's work with the server given as HOST:PORT. FLAGSTONE_WITHOUT names what it does not have.

use strict;
use warnings;
use Redis;

sub is {
    my ($told, $expected, $what) = @_;
    ($told, $expected) = map { defined $_ ? $_ : 'undef' } $told, $expected;
    $told eq $expected or die "$what: $told instead of $expected\n";
}

my %without = map { $_ => 1 } split /,/, $ENV{FLAGSTONE_WITHOUT} // '';
my $client = Redis->new(server => $ARGV[0], reconnect => 2);
$client->flushdb;
is($client->ping, 'PONG', 'ping');
is($client->get('none'), undef, 'a miss');
is($client->set('k', 'v'), 'OK', 'set');
is($client->set('k', 'w', 'NX'), undef, 'set of what is there');
is($client->setex('k', 50, 'x'), 'OK', 'setex');
is($client->ttl('k') > 48, 1, 'ttl');
is($client->append('k', 'yz'), 3, 'append');
is($client->getrange('k', 1, -1), 'yz', 'getrange');
is($client->incrby('n', 42), 42, 'incrby');
is($client->decr('n'), 41, 'decr');
is(scalar(eval { $client->incr('k'); 1 }), undef, 'incr of a text');
$@ =~ /value is not an integer or out of range/ or die "its error: $@\n";
for my $length (0, 1, 4096, 100_000, 1_000_000) {
    $client->set('large', 'x' x $length);
    is(length $client->get('large'), $length, 'a long value');
}
$client->mset(map { ("m$_", "value $_") } 1 .. 2000);
is(scalar(grep { defined } $client->mget(map { "m$_" } 0 .. 2000)), 2000, 'mget');
# Answers of a pipeline come to the functions given.
my @told;
for my $no (1 .. 1000) {
    $client->set("p$no", $no, sub { });
    $client->get("p$no", sub { push @told, $_[0] });
}
$client->wait_all_responses;
is("@told", join(' ', 1 .. 1000), 'a pipeline');
is($client->del('n', 'none'), 1, 'del');
is($client->info->{redis_mode}, 'standalone', 'info');
is(scalar($client->keys('p1?')), 10, 'keys');
my ($cursor, %seen) = (0);
do {
    ($cursor, my $keys) = $client->scan($cursor, MATCH => 'm*');
    @seen{@$keys} = ();
} while $cursor;
is(scalar(keys %seen), 2000, 'scan');
$client->multi;
$client->set('a', 1);
$client->incr('a');
is(join(' ', $client->exec), 'OK 2', 'multi');
if (!$without{databases}) {
    $client->select(1);
    is($client->get('k'), undef, 'another database');
    $client->select(0);
}
if (!$without{pubsub}) {
    my $listener = Redis->new(server => $ARGV[0]);
    my $heard;
    $listener->subscribe('news', sub { $heard = $_[0] });
    is($client->publish('news', 'good'), 1, 'publish');
    $listener->wait_for_messages(0.1) until defined $heard;
    is($heard, 'good', 'what was published');
}
$client->flushdb;
is($client->dbsize, 0, 'flushdb');
$client->quit;
print "Redis.pm works\n";
