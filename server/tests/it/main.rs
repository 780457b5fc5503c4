//! What a server does as a whole, seen from outside: from a client's socket, an operator's command
//! line, the pages of the repository. One program for all of them, because each program is linked
//! with the whole server and its dependencies.
//!
//! ```text
//! cargo test -p flagstone-server --test it                     all
//! cargo test -p flagstone-server --test it tls::               one file
//! cargo test -p flagstone-server --test it who_stalls          by name, in whichever file
//! ```
//!
//! The tests run beside each other, as threads of this process, so a test here
//!
//! - changes nothing of the process: no variable, no current directory, no signal's handler (a
//!   server that is started here raises the limit of open files, which all of them want);
//! - measures nothing of the process: its memory, its descriptors, its allocations;
//! - names its files by what it is about, as [`common::tool::Scratch`] does.
//!
//! What cannot keep to that is a program of its own, beside this directory: `alloc_*` (dhat counts
//! for the whole process), `memory` (resident memory), `loadtest` (wants the machine to itself).

#[path = "../common/mod.rs"]
mod common;

mod admin;
mod arena;
mod binary;
mod budget;
mod bystander;
mod clients;
mod clients_page;
mod curve;
mod databases;
mod differential;
mod docs;
mod docs_examples;
mod drain;
mod exporter;
mod guarantees;
mod handed;
mod hot_keys;
mod keyspace;
mod linearizable;
mod lists;
mod livez;
mod long_keys;
mod manifests;
mod memcache;
mod memcache_admin;
mod memcache_meta;
mod metrics;
mod native;
mod netcat;
mod operators;
mod packaging;
mod page;
mod places;
mod pressure;
mod process;
mod proxied;
mod pubsub;
mod pubsub_ways;
mod redis_clients;
mod resp;
mod resp_bits;
mod resp_clients;
mod resp_keys;
mod resp_long;
mod resp_several;
mod restart;
mod roles;
mod scripts;
mod seal;
mod service;
mod settings;
mod sizes;
mod slow;
mod spin;
mod tls;
mod tls_clients;
mod told;
mod tools;
mod transactions;
mod twemproxy;
mod twemproxy_redis;
