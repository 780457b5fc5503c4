//! Flagstone, the server: a client's bytes in, the engine's bytes out.
//!
//! ```text
//!   vocabulary (proto) ─► execute ─► conn ─► net ─► main
//! ```
//!
//! [`proto`] turns bytes into commands and replies into bytes, and knows neither sockets nor
//! the engine. `execute` is the one place where a command meets the cache. `conn` is a
//! connection's state machine, `net` accepts connections and shares them out to workers.
//!
//! Everything is counted before the first connection is accepted ([`memory::plan`]): buffers,
//! connection slots, large transfers. From then on nothing on a request's way calls the
//! global allocator.
//!
//! ```
//! use std::io::{Read, Write};
//! let config = flagstone_server::Config {
//!     listen: vec!["127.0.0.1:0".parse().unwrap()],
//!     memory_bytes: 32 << 20,
//!     connections_max: 100,
//!     workers: 1,
//!     ..Default::default()
//! };
//! let server = flagstone_server::Server::start(config)?;
//! let mut client = std::net::TcpStream::connect(server.local_addr())?;
//! client.write_all(b"PUT greeting hello\nGET greeting\n")?;
//! client.shutdown(std::net::Shutdown::Write)?;
//! let mut replies = String::new();
//! client.read_to_string(&mut replies)?;
//! assert_eq!(replies, "OK\nhello\n");
//! server.shutdown()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod admin;
pub mod auth;
mod base64;
mod clients;
mod clock;
pub mod commands;
mod conn;
mod execute;
pub mod memory;
mod net;
pub mod observe;
pub mod proto;
mod pubsub;
mod report;
mod server;
pub mod settings;
mod snapfile;

pub use server::{Running, Server, StartError};
pub use settings::config::{Config, Invalid, TlsVersion};
#[doc(hidden)]
pub use snapfile::restore_made_up;
