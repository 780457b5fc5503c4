//! The commands there are: one line each, from which their arity is checked and `COMMAND` is answered.

/// One command.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// In lower case.
    pub name: &'static str,
    /// Arguments, the name counted: exactly, or at least as many if it is negative.
    pub arity: i8,
    /// What Redis' clients want to know of it.
    pub flags: &'static [&'static str],
    /// The first argument that is a key; 0: none.
    pub first_key: i8,
    /// The last one; -1: the last of all.
    pub last_key: i8,
    /// Arguments from one key to the next.
    pub step: i8,
}

macro_rules! commands {
    ($($name:ident $text:literal $upper:literal $arity:literal $first:literal $last:literal $step:literal $flags:expr;)*) => {
        /// A command's name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs)] // They are their own.
        #[repr(usize)]
        pub enum Name { $($name),* }

        /// All of them, in the order of [`Name`].
        pub static COMMANDS: &[Spec] = &[$(Spec {
            name: $text,
            arity: $arity,
            flags: $flags,
            first_key: $first,
            last_key: $last,
            step: $step,
        }),*];

        impl Name {
            /// The command that `word` names, in upper case.
            #[inline]
            fn of_upper(word: &[u8]) -> Option<Name> {
                Some(match word {
                    $($upper => Name::$name,)*
                    _ => return None,
                })
            }
        }
    };
}

const READ: &[&str] = &["readonly", "fast"];
const READ_SLOW: &[&str] = &["readonly"];
const WRITE: &[&str] = &["write", "denyoom", "fast"];
const WRITE_SLOW: &[&str] = &["write", "denyoom"];
const CHANGE_SLOW: &[&str] = &["write"];
const MANY: &[&str] = &["write", "denyoom", "movablekeys"];
const CHANGE: &[&str] = &["write", "fast"];
const ADMIN: &[&str] = &["admin", "noscript", "loading", "stale"];
const FAST: &[&str] = &["loading", "stale", "fast"];
const OPENED: &[&str] = &["noscript", "loading", "stale", "fast"];
const SCRIPT: &[&str] = &[
    "noscript",
    "stale",
    "skip_monitor",
    "no_mandatory_keys",
    "movablekeys",
];
const EXEC: &[&str] = &["noscript", "loading", "stale"];
const PUBSUB: &[&str] = &["pubsub", "noscript", "loading", "stale"];
const PUBLISH: &[&str] = &["pubsub", "loading", "stale", "fast"];
const OPEN: &[&str] = &["noscript", "loading", "stale", "fast", "no_auth"];

commands! {
    Append "append" b"APPEND" 3 1 1 1 WRITE;
    Auth "auth" b"AUTH" -2 0 0 0 OPEN;
    BitCount "bitcount" b"BITCOUNT" -2 1 1 1 READ_SLOW;
    BitPos "bitpos" b"BITPOS" -3 1 1 1 READ_SLOW;
    Client "client" b"CLIENT" -2 0 0 0 ADMIN;
    Cluster "cluster" b"CLUSTER" -2 0 0 0 ADMIN;
    Command "command" b"COMMAND" -1 0 0 0 FAST;
    Config "config" b"CONFIG" -2 0 0 0 ADMIN;
    Copy "copy" b"COPY" -3 1 2 1 WRITE_SLOW;
    DbSize "dbsize" b"DBSIZE" 1 0 0 0 READ;
    Debug "debug" b"DEBUG" -2 0 0 0 ADMIN;
    Decr "decr" b"DECR" 2 1 1 1 WRITE;
    DecrBy "decrby" b"DECRBY" 3 1 1 1 WRITE;
    Del "del" b"DEL" -2 1 -1 1 CHANGE;
    DelEx "delex" b"DELEX" -2 1 1 1 CHANGE;
    DelIfEq "delifeq" b"DELIFEQ" 3 1 1 1 CHANGE;
    Discard "discard" b"DISCARD" 1 0 0 0 OPENED;
    Echo "echo" b"ECHO" 2 0 0 0 FAST;
    Eval "eval" b"EVAL" -3 0 0 0 SCRIPT;
    EvalRo "eval_ro" b"EVAL_RO" -3 0 0 0 SCRIPT;
    EvalSha "evalsha" b"EVALSHA" -3 0 0 0 SCRIPT;
    EvalShaRo "evalsha_ro" b"EVALSHA_RO" -3 0 0 0 SCRIPT;
    Exec "exec" b"EXEC" 1 0 0 0 EXEC;
    Exists "exists" b"EXISTS" -2 1 -1 1 READ;
    Expire "expire" b"EXPIRE" -3 1 1 1 CHANGE;
    ExpireAt "expireat" b"EXPIREAT" -3 1 1 1 CHANGE;
    ExpireTime "expiretime" b"EXPIRETIME" 2 1 1 1 READ;
    FlushAll "flushall" b"FLUSHALL" -1 0 0 0 CHANGE;
    FlushDb "flushdb" b"FLUSHDB" -1 0 0 0 CHANGE;
    Function "function" b"FUNCTION" -2 0 0 0 ADMIN;
    Get "get" b"GET" 2 1 1 1 READ;
    GetBit "getbit" b"GETBIT" 3 1 1 1 READ;
    GetDel "getdel" b"GETDEL" 2 1 1 1 CHANGE;
    GetEx "getex" b"GETEX" -2 1 1 1 CHANGE;
    GetRange "getrange" b"GETRANGE" 4 1 1 1 READ_SLOW;
    GetSet "getset" b"GETSET" 3 1 1 1 WRITE;
    Hello "hello" b"HELLO" -1 0 0 0 OPEN;
    HotKeys "hotkeys" b"HOTKEYS" -1 0 0 0 ADMIN;
    Incr "incr" b"INCR" 2 1 1 1 WRITE;
    IncrBy "incrby" b"INCRBY" 3 1 1 1 WRITE;
    IncrByFloat "incrbyfloat" b"INCRBYFLOAT" 3 1 1 1 WRITE;
    Info "info" b"INFO" -1 0 0 0 FAST;
    Keys "keys" b"KEYS" 2 0 0 0 READ_SLOW;
    Latency "latency" b"LATENCY" -2 0 0 0 ADMIN;
    Memory "memory" b"MEMORY" -2 0 0 0 READ_SLOW;
    MGet "mget" b"MGET" -2 1 -1 1 READ;
    Module "module" b"MODULE" -2 0 0 0 ADMIN;
    MSet "mset" b"MSET" -3 1 -1 2 WRITE;
    MSetEx "msetex" b"MSETEX" -4 0 0 0 MANY;
    MSetNx "msetnx" b"MSETNX" -3 1 -1 2 WRITE_SLOW;
    Multi "multi" b"MULTI" 1 0 0 0 OPENED;
    Object "object" b"OBJECT" -2 2 2 1 READ_SLOW;
    Persist "persist" b"PERSIST" 2 1 1 1 CHANGE;
    PExpire "pexpire" b"PEXPIRE" -3 1 1 1 CHANGE;
    PExpireAt "pexpireat" b"PEXPIREAT" -3 1 1 1 CHANGE;
    PExpireTime "pexpiretime" b"PEXPIRETIME" 2 1 1 1 READ;
    Ping "ping" b"PING" -1 0 0 0 FAST;
    PSetEx "psetex" b"PSETEX" 4 1 1 1 WRITE;
    PSubscribe "psubscribe" b"PSUBSCRIBE" -2 0 0 0 PUBSUB;
    PTtl "pttl" b"PTTL" 2 1 1 1 READ;
    Publish "publish" b"PUBLISH" 3 0 0 0 PUBLISH;
    PubSub "pubsub" b"PUBSUB" -2 0 0 0 PUBSUB;
    PUnsubscribe "punsubscribe" b"PUNSUBSCRIBE" -1 0 0 0 PUBSUB;
    Quit "quit" b"QUIT" -1 0 0 0 OPEN;
    RandomKey "randomkey" b"RANDOMKEY" 1 0 0 0 READ_SLOW;
    Rename "rename" b"RENAME" 3 1 2 1 CHANGE_SLOW;
    RenameNx "renamenx" b"RENAMENX" 3 1 2 1 CHANGE;
    Reset "reset" b"RESET" 1 0 0 0 OPEN;
    Scan "scan" b"SCAN" -2 0 0 0 READ_SLOW;
    Script "script" b"SCRIPT" -2 0 0 0 ADMIN;
    Select "select" b"SELECT" 2 0 0 0 FAST;
    Set "set" b"SET" -3 1 1 1 WRITE;
    SetBit "setbit" b"SETBIT" 4 1 1 1 WRITE_SLOW;
    SetEx "setex" b"SETEX" 4 1 1 1 WRITE;
    SetNx "setnx" b"SETNX" 3 1 1 1 WRITE;
    SetRange "setrange" b"SETRANGE" 4 1 1 1 WRITE;
    Shutdown "shutdown" b"SHUTDOWN" -1 0 0 0 ADMIN;
    SlowLog "slowlog" b"SLOWLOG" -2 0 0 0 ADMIN;
    SPublish "spublish" b"SPUBLISH" 3 0 0 0 PUBLISH;
    SSubscribe "ssubscribe" b"SSUBSCRIBE" -2 0 0 0 PUBSUB;
    StrLen "strlen" b"STRLEN" 2 1 1 1 READ;
    Subscribe "subscribe" b"SUBSCRIBE" -2 0 0 0 PUBSUB;
    SubStr "substr" b"SUBSTR" 4 1 1 1 READ_SLOW;
    SUnsubscribe "sunsubscribe" b"SUNSUBSCRIBE" -1 0 0 0 PUBSUB;
    Time "time" b"TIME" 1 0 0 0 FAST;
    Touch "touch" b"TOUCH" -2 1 -1 1 READ;
    Ttl "ttl" b"TTL" 2 1 1 1 READ;
    Type "type" b"TYPE" 2 1 1 1 READ;
    Unlink "unlink" b"UNLINK" -2 1 -1 1 CHANGE;
    Unwatch "unwatch" b"UNWATCH" 1 0 0 0 OPENED;
    Unsubscribe "unsubscribe" b"UNSUBSCRIBE" -1 0 0 0 PUBSUB;
    Wait "wait" b"WAIT" 3 0 0 0 FAST;
    Watch "watch" b"WATCH" -2 1 -1 1 OPENED;
}

/// No name is longer.
const NAME_BYTES_MAX: usize = 16;

impl Name {
    /// The command that `word` names, in any case.
    #[inline]
    #[must_use]
    pub fn of(word: &[u8]) -> Option<Name> {
        let mut upper = [0; NAME_BYTES_MAX];
        let upper = upper.get_mut(..word.len())?;
        upper.copy_from_slice(word);
        upper.make_ascii_uppercase();
        Name::of_upper(upper)
    }

    /// What is known of it.
    #[must_use]
    pub fn spec(self) -> &'static Spec {
        &COMMANDS[self as usize]
    }

    /// Whether it may have so many arguments, the name counted.
    #[inline]
    #[must_use]
    pub fn takes(self, count: u32) -> bool {
        let arity = i64::from(self.spec().arity);
        let count = i64::from(count);
        if arity < 0 {
            count >= -arity
        } else {
            count == arity
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case_and_has_its_row() {
        for (no, spec) in COMMANDS.iter().enumerate() {
            let lower = Name::of(spec.name.as_bytes()).expect("a command");
            let upper = Name::of(spec.name.to_ascii_uppercase().as_bytes());
            assert_eq!((lower as usize, upper), (no, Some(lower)), "{}", spec.name);
        }
        assert_eq!(Name::of(b"LPUSH"), None);
        assert_eq!(Name::of(&[b'x'; 300]), None);
        assert_eq!(Name::of(b""), None);
        assert!(Name::Get.takes(2) && !Name::Get.takes(3) && !Name::Get.takes(1));
        assert!(Name::Set.takes(3) && Name::Set.takes(9) && !Name::Set.takes(2));
    }
}
