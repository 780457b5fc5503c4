# Cache::Memcached::Fast's ordinary work against the servers given as HOST:PORT arguments, and
# Cache::Memcached's with the first of them.

use strict;
use warnings;
use Cache::Memcached;
use Cache::Memcached::Fast;

sub is {
    my ($told, $expected, $what) = @_;
    ($told, $expected) = map { defined $_ ? $_ : 'undef' } $told, $expected;
    $told eq $expected or die "$what: $told instead of $expected\n";
}

my @servers = @ARGV;
my $client = Cache::Memcached::Fast->new({ servers => \@servers, ketama_points => 150, namespace => 'perl:' });

# Each version is read as Perl reads versions, and decides what the client asks for.
my $versions = $client->server_versions;
is(scalar(keys %$versions), scalar(@servers), 'servers with a version');
for (values %$versions) {
    require version;
    version->parse($_) >= version->parse('1.4.5') or die "version $_\n";
}

$client->flush_all;
is(scalar($client->get('none')), undef, 'a miss');
is($client->set('k', 'v'), 1, 'set');
is(scalar($client->get('k')), 'v', 'get');
is($client->add('k', 'w'), '', 'add of what is there');
is($client->replace('none', 'w'), '', 'replace of nothing');
is($client->append('k', '>') && $client->prepend('k', '<'), 1, 'append, prepend');
is(scalar($client->get('k')), '<v>', 'both');
my ($cas, $value) = @{ $client->gets('k') };
is($value, '<v>', 'gets');
is($client->cas('k', $cas, 'w'), 1, 'cas');
is($client->cas('k', $cas, 'x'), '', 'cas with an old number');
is($client->set('n', 41), 1, 'a number');
is(scalar($client->incr('n')), 42, 'incr');
is($client->decr('n', 50), '0E0', 'decr below 0');
is(scalar($client->incr('none')), '', 'incr of nothing');
is($client->touch('k', 100), 1, 'touch');
is(scalar($client->gat(50, 'k')), 'w', 'gat');
is($client->delete('k'), 1, 'delete');
is($client->delete('k'), '', 'delete again');
$client->set('list', [ 1, { two => 'three' } ]);
is($client->get('list')->[1]{two}, 'three', 'a structure');
for my $length (0, 1, 4096, 100_000, 1_000_000) {
    $client->set('large', 'x' x $length);
    is(length $client->get('large'), $length, 'a long value');
}

my @pairs = map { [ "m$_", "value $_" ] } 1 .. 2000;
is(scalar(grep { $_ } values %{ $client->set_multi(@pairs) }), 2000, 'set_multi');
my $found = $client->get_multi(map { $_->[0] } @pairs);
is(scalar(keys %$found), 2000, 'get_multi');
is($found->{m77}, 'value 77', 'one of them');
# In void context nothing is answered, and nothing gets out of step.
$client->set("q$_", $_) for 1 .. 1000;
$client->delete("q1");
$client->nowait_push;
is(scalar($client->get('q1000')), 1000, 'behind sets without replies');
is(scalar($client->get('q1')), undef, 'behind a delete without reply');

my $slow = Cache::Memcached->new({ servers => [ $servers[0] ] });
is($slow->set('s', [ 5 ]), 1, 'set of the other');
is($slow->get('s')->[0], 5, 'get of the other');
is(scalar($slow->incr('c')), undef, 'incr of nothing of the other');
is(scalar(keys %{ $slow->get_multi(map { "m$_" } 1 .. 10) }), 0, 'another namespace');
$slow->stats([qw(misc items slabs)])->{hosts} or die "no stats\n";
print "Cache::Memcached::Fast works\n";
