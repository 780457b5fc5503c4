//! Answers that are always the same, most of them refusals as Redis words them: clients match on some.

use crate::proto::Words;
use crate::proto::reply::words;

/// The first word of one who has to log in.
pub const NO_AUTH: Words = words!(b"-NOAUTH Authentication required.\r\n");
/// The login may not do that.
pub const NOT_PERMITTED: Words =
    words!(b"-NOPERM this user has no permissions to run this command\r\n");
/// To one who says `HELLO` without a login.
pub const NO_AUTH_HELLO: Words = words!(
    b"-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO \
      <proto> AUTH <user> <pass> option can be used to authenticate the client and select the \
      RESP protocol version at the same time\r\n"
);
/// The login is the wrong one.
pub const WRONG_PASS: Words =
    words!(b"-WRONGPASS invalid username-password pair or user is disabled.\r\n");
/// What a client calls itself.
pub const BAD_CLIENT_NAME: Words =
    words!(b"-ERR Client names cannot contain spaces, newlines or special characters.\r\n");
/// What a client calls its library.
pub const BAD_LIBRARY_NAME: Words =
    words!(b"-ERR lib-name and lib-ver cannot contain spaces, newlines or special characters.\r\n");
/// It has no room left.
pub const LONG_CLIENT_NAME: Words = words!(
    b"-ERR a client's name, lib-name, lib-ver and user take up to 96 bytes together here\r\n"
);
/// Nothing else is told of a library.
pub const BAD_CLIENT_INFO: Words =
    words!(b"-ERR Unrecognized option: LIB-NAME and LIB-VER are known\r\n");
/// No client is called by it.
pub const BAD_CLIENT_ID: Words = words!(b"-ERR Invalid client ID\r\n");
/// The same, of one that is to be closed.
pub const LOW_CLIENT_ID: Words = words!(b"-ERR client-id should be greater than 0\r\n");
/// More than are held.
pub const MANY_CLIENT_IDS: Words = words!(b"-ERR CLIENT LIST takes four IDs at a time here\r\n");
/// There is no such kind of clients.
pub const BAD_CLIENT_KIND: Words =
    words!(b"-ERR Unknown client type: normal, pubsub, master and replica are known\r\n");
/// Not an age.
pub const BAD_MAXAGE: Words = words!(b"-ERR maxage is not an integer or out of range\r\n");
/// Nobody has that address.
pub const NO_SUCH_CLIENT: Words = words!(b"-ERR No such client\r\n");
/// Each request has its answer.
pub const NO_SILENCE: Words =
    words!(b"-ERR CLIENT REPLY OFF and SKIP are not there: every request is answered\r\n");
/// Nobody is told of keys that others have changed.
pub const NO_TRACKING: Words =
    words!(b"-ERR CLIENT TRACKING is not there: nothing is remembered of who has read a key\r\n");
/// One client does not keep the others waiting.
pub const NO_PAUSE: Words =
    words!(b"-ERR CLIENT PAUSE is not there: no client keeps the others waiting\r\n");
/// There is no such version.
pub const NO_PROTO: Words = words!(b"-NOPROTO unsupported protocol version\r\n");
/// The version is no number.
pub const BAD_PROTO: Words = words!(b"-ERR Protocol version is not an integer or out of range\r\n");
/// The least number has no opposite.
pub const DECR_OVERFLOW: Words = words!(b"-ERR decrement would overflow\r\n");
/// Options that do not go together, or are none.
pub const SYNTAX: Words = words!(b"-ERR syntax error\r\n");
/// Not a whole number of 64 bits.
pub const NOT_INTEGER: Words = words!(b"-ERR value is not an integer or out of range\r\n");
/// Not a number.
pub const NOT_FLOAT: Words = words!(b"-ERR value is not a valid float\r\n");
/// The sum leaves 64 bits.
pub const OVERFLOW: Words = words!(b"-ERR increment or decrement would overflow\r\n");
/// The sum is no number.
pub const NOT_FINITE: Words = words!(b"-ERR increment would produce NaN or Infinity\r\n");
/// Of fewer requests than none nothing can be told.
pub const BAD_SLOW_COUNT: Words = words!(b"-ERR count should be greater than or equal to -1\r\n");
/// A wait into the past.
pub const NEGATIVE_TIMEOUT: Words = words!(b"-ERR timeout is negative\r\n");
/// For a number that has 64 bits.
pub const NOT_INT: Words =
    words!(b"-ERR value is out of range, value must between -2147483648 and 2147483647\r\n");
/// There is no such database.
pub const BAD_DB: Words = words!(b"-ERR DB index is out of range\r\n");
/// Before the value's first byte.
pub const BAD_OFFSET: Words = words!(b"-ERR offset is out of range\r\n");
/// Longer than a value may be.
pub const TOO_LARGE: Words =
    words!(b"-ERR the value is longer than the server's --max-item allows\r\n");
/// No memory can be freed at the moment.
pub const NO_SPACE: Words = words!(b"-OOM command not allowed when used memory > 'maxmemory'.\r\n");
/// Longer than a value may be, by what is added.
pub const STRING_TOO_LONG: Words =
    words!(b"-ERR string exceeds maximum allowed size (--max-item)\r\n");
/// Before the value's first bit, or behind 512 MB.
pub const BAD_BIT_OFFSET: Words = words!(b"-ERR bit offset is not an integer or out of range\r\n");
/// Neither 0 nor 1.
pub const BAD_BIT: Words = words!(b"-ERR bit is not an integer or out of range\r\n");
/// The same, to be looked for.
pub const BAD_BIT_SOUGHT: Words = words!(b"-ERR The bit argument must be 1 or 0.\r\n");
/// How often an item is used is not counted.
pub const NO_FREQ: Words = words!(
    b"-ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when \
      switching between policies at runtime LRU and LFU data will take some time to adjust.\r\n"
);
/// A key of too many bytes.
pub const LONG_KEY: Words =
    words!(b"-ERR the key is longer than the server's --max-key allows\r\n");
/// Nothing to rename.
pub const NO_SUCH_KEY: Words = words!(b"-ERR no such key\r\n");
/// A copy of something onto itself.
pub const SAME_KEY: Words = words!(b"-ERR source and destination objects are the same\r\n");
/// Not a number of keys.
pub const BAD_KEY_COUNT: Words = words!(b"-ERR invalid numkeys value\r\n");
/// Fewer keys with values than were announced.
pub const FEW_PAIRS: Words = words!(b"-ERR wrong number of key-value pairs\r\n");
/// All keys are looked at before the first is stored.
pub const LONG_PAIRS: Words =
    words!(b"-ERR MSETNX and MSETEX take keys and values of up to 16 KiB together here\r\n");
/// No scan was there.
pub const BAD_CURSOR: Words = words!(b"-ERR invalid cursor\r\n");
/// Whoever wants all keys at once, of many.
pub const TOO_MANY_KEYS: Words = words!(
    b"-ERR KEYS goes through 20000 keys and answers with 39 KiB at most here: SCAN does it step by step\r\n"
);
/// A pattern of many stars, and a long key.
pub const HARD_PATTERN: Words =
    words!(b"-ERR the pattern takes too much work to compare with a key\r\n");
/// A request that is not one.
pub const MALFORMED: Words = words!(b"-ERR Protocol error\r\n");
/// Longer than what can be held whole.
pub const TOO_LONG: Words = words!(b"-ERR the request's arguments are longer than 16 KiB\r\n");
/// A long option behind a long value.
pub const LONG_OPTION: Words =
    words!(b"-ERR behind a long value, options have up to 2 KiB here\r\n");
/// Switched off by a setting.
pub const NOT_ALLOWED: Words = words!(b"-ERR this command is switched off by a setting\r\n");
/// Inside of another one.
pub const NESTED_MULTI: Words = words!(b"-ERR MULTI calls can not be nested\r\n");
/// Too late.
pub const WATCH_IN_MULTI: Words = words!(b"-ERR WATCH inside MULTI is not allowed\r\n");
/// Nothing to execute.
pub const EXEC_ALONE: Words = words!(b"-ERR EXEC without MULTI\r\n");
/// Nothing to forget.
pub const DISCARD_ALONE: Words = words!(b"-ERR DISCARD without MULTI\r\n");
/// Not to be kept.
pub const NOT_IN_MULTI: Words = words!(b"-ERR Command not allowed inside a transaction\r\n");
/// One of what was kept was refused.
pub const SPOILED: Words =
    words!(b"-EXECABORT Transaction discarded because of previous errors.\r\n");
/// `EXEC` itself was.
pub const BAD_EXEC: Words = words!(
    b"-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command\r\n"
);
/// What was kept or watched had to make room.
pub const REVOKED: Words = words!(
    b"-EXECABORT Transaction discarded: it waited for more than a second, and others needed its room\r\n"
);
/// No room to keep another command.
pub const QUEUE_FULL: Words = words!(
    b"-ERR no room is left for this command: a transaction has three quarters of their memory\r\n"
);
/// No room to watch another key.
pub const WATCH_FULL: Words = words!(b"-ERR no room is left to watch this key\r\n");
/// Not one of those that are known.
pub const UNKNOWN_SCRIPT: Words = words!(
    b"-ERR unknown script: those of cache and lock libraries are executed, and others are not interpreted here\r\n"
);
/// It was not sent, or was forgotten.
pub const NO_SCRIPT: Words = words!(b"-NOSCRIPT No matching script. Please use EVAL.\r\n");
/// All of them write.
pub const READ_ONLY_SCRIPT: Words =
    words!(b"-ERR Write commands are not allowed from read-only scripts.\r\n");
/// A known script with too few.
pub const SCRIPT_ARGUMENTS: Words =
    words!(b"-ERR Wrong number of keys or arguments for this script\r\n");
/// A time that a command in it does not take.
pub const SCRIPT_TIME: Words = words!(b"-ERR invalid expire time in script\r\n");
/// More keys than arguments.
pub const MANY_KEYS: Words =
    words!(b"-ERR Number of keys can't be greater than number of args\r\n");
/// Fewer than none.
pub const NEGATIVE_KEYS: Words = words!(b"-ERR Number of keys can't be negative\r\n");
/// A word that `SCRIPT FLUSH` does not know.
pub const BAD_SCRIPT_FLUSH: Words = words!(b"-ERR SCRIPT FLUSH only support SYNC|ASYNC option\r\n");
/// None runs when another command does.
pub const NOT_BUSY: Words = words!(b"-NOTBUSY No scripts in execution right now.\r\n");
/// So few can be asked for.
pub const MANY_NAMES: Words =
    words!(b"-ERR up to 4 names, patterns or keys, or 2 settings, at a time here\r\n");
/// `COMMAND GETKEYS` of no command.
pub const NO_COMMAND: Words = words!(b"-ERR Invalid command specified\r\n");
/// `COMMAND GETKEYS` of a command with too few arguments, or too many.
pub const BAD_COMMAND: Words =
    words!(b"-ERR Invalid number of arguments specified for command\r\n");
/// `COMMAND GETKEYS` of nothing.
pub const GET_KEYS_ARITY: Words =
    words!(b"-ERR wrong number of arguments for 'command|getkeys' command\r\n");
/// `COMMAND GETKEYS` of a command without any.
pub const NO_KEYS: Words = words!(b"-ERR The command has no key arguments\r\n");
/// `CONFIG REWRITE`
pub const NO_FILE: Words = words!(b"-ERR The server is running without a config file\r\n");
/// So few can be asked for.
pub const MANY_SCRIPTS: Words = words!(b"-ERR SCRIPT EXISTS takes up to 4 hashes here\r\n");
/// A channel's name, or a pattern, that is too long.
pub const BAD_CHANNEL: Words =
    words!(b"-ERR a channel's name and a pattern have up to 250 bytes here\r\n");
/// A message that is too long.
pub const LONG_MESSAGE: Words = words!(b"-ERR a message has up to 65536 bytes here\r\n");
/// A long message that took too long to arrive.
pub const SLOW_MESSAGE: Words =
    words!(b"-ERR the message took longer than a second to arrive, and others needed its room\r\n");
/// What is published reaches nobody.
pub const NOBODY: Words = words!(b":0\r\n");
/// All places for subscriptions, names or subscribers are taken.
pub const NO_SUBSCRIPTION: Words =
    words!(b"-ERR max number of subscriptions or channels reached\r\n");
/// The connection has as many as it may have.
pub const NO_OWN_SUBSCRIPTION: Words =
    words!(b"-ERR max number of subscriptions of one connection reached\r\n");
/// Comparing all patterns would take too long.
pub const NO_PATTERN: Words = words!(
    b"-ERR no room for another pattern: comparing those that are there takes as long as may be\r\n"
);
/// A list that does not fit into one answer.
pub const LONG_LIST: Words = words!(b"-ERR a list of channels has up to 39 KiB here\r\n");
/// There is no cluster.
pub const NO_CLUSTER: Words = words!(b"-ERR This instance has cluster support disabled\r\n");
/// `NX` with `XX`, `GT` or `LT`.
pub const NX_AND_OTHERS: Words =
    words!(b"-ERR NX and XX, GT or LT options at the same time are not compatible\r\n");
/// `GT` with `LT`.
pub const GT_AND_LT: Words =
    words!(b"-ERR GT and LT options at the same time are not compatible\r\n");

/// Protocol errors: the connection is closed behind them.
pub const BAD_COUNT: &[u8] = b"-ERR Protocol error: invalid multibulk length\r\n";
/// A length that is none.
pub const BAD_LENGTH: &[u8] = b"-ERR Protocol error: invalid bulk length\r\n";
/// A count's line that does not end.
pub const LONG_COUNT: &[u8] = b"-ERR Protocol error: too big mbulk count string\r\n";
/// A length's line that does not end.
pub const LONG_LENGTH: &[u8] = b"-ERR Protocol error: too big bulk count string\r\n";
/// A line of words that does not end.
pub const LONG_LINE: &[u8] = b"-ERR Protocol error: too big inline request\r\n";
/// A quote that does not end.
pub const UNBALANCED: &[u8] = b"-ERR Protocol error: unbalanced quotes in request\r\n";
/// Something else stands where a `$` should: at `EXPECTED_AT` stands what.
pub const EXPECTED: &[u8] = b"-ERR Protocol error: expected '$', got '?'\r\n";
const EXPECTED_AT: usize = 40;

/// Those of [`EXPECTED`] for every byte.
static EXPECTED_BUT: [[u8; EXPECTED.len()]; 256] = {
    let mut table = [[0; EXPECTED.len()]; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut at = 0;
        while at < EXPECTED.len() {
            table[byte][at] = EXPECTED[at];
            at += 1;
        }
        // What would end the line is told as a space, as Redis tells it.
        table[byte][EXPECTED_AT] = match byte as u8 {
            b'\r' | b'\n' => b' ',
            other => other,
        };
        byte += 1;
    }
    table
};

/// `byte` stands where a `$` should.
#[must_use]
pub fn expected_but(byte: u8) -> &'static [u8] {
    &EXPECTED_BUT[usize::from(byte)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_byte_stands_between_the_quotes() {
        assert_eq!(EXPECTED[EXPECTED_AT], b'?');
        let words = expected_but(b'x');
        assert!(words.ends_with(b"expected '$', got 'x'\r\n"));
        assert!(expected_but(b'\n').ends_with(b"got ' '\r\n"));
    }
}
