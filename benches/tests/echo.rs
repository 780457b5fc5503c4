//! The load generator against both floors in every protocol, over real sockets.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use flagstone_bench::settings::{Length, Sizes};
use flagstone_bench::wire::{PROTOCOLS, Protocol};
use flagstone_bench::{Settings, run};
use flagstone_benches::echo::{self, Canned};

/// A floor with two workers, for as long as the test runs.
fn floor(reactor: &str, protocol: Protocol, value_bytes: usize) -> SocketAddr {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listeners = echo::listeners(any, 2).expect("a port");
    let address = listeners[0].local_addr().expect("bound");
    for listener in listeners {
        let canned = Canned::new(protocol, value_bytes);
        let is_epoll = reactor == "epoll";
        thread::spawn(move || {
            if is_epoll {
                echo::epoll::serve(&listener, &canned)
            } else {
                echo::tokio_rt::serve(listener, &canned)
            }
        });
    }
    address
}

fn settings(address: SocketAddr, protocol: Protocol) -> Settings {
    Settings {
        address: address.into(),
        protocol,
        connections: 20,
        threads: 2,
        pipeline: 16,
        keys: 1000,
        mix: "8:1:1".parse().expect("a mix"),
        warmup: Duration::from_millis(20),
        length: Length::Time(Duration::from_millis(250)),
        verify: false,
        ..Settings::default()
    }
}

#[test]
fn every_floor_answers_every_protocol() {
    for reactor in ["epoll", "tokio"] {
        for (name, protocol) in PROTOCOLS {
            // The long value does not fit a socket's buffer sixteen times.
            for value_bytes in [32, 70_000] {
                let address = floor(reactor, protocol, value_bytes);
                let settings = Settings {
                    value_bytes: Sizes {
                        min: value_bytes,
                        max: value_bytes,
                    },
                    ..settings(address, protocol)
                };
                let report = run(&settings, false)
                    .unwrap_or_else(|failure| panic!("{reactor} {name} {value_bytes}: {failure}"));
                assert!(report.is_faultless(), "{:?}", report.faults());
                let reads = report.reads.as_ref().expect("eight of ten").count;
                assert_eq!(report.hits, reads, "{reactor} {name}");
                assert!(report.received_bytes > reads * value_bytes as u64);
            }
        }
    }
}

/// The same value for every key is what verification is there to find.
#[test]
fn a_floor_does_not_pass_for_a_cache() {
    let settings = Settings {
        verify: true,
        ..settings(floor("epoll", Protocol::Resp, 32), Protocol::Resp)
    };
    let failure = run(&settings, false).expect_err("a value that nobody stored");
    assert!(
        failure.to_string().contains("is --protocol right?"),
        "{failure}"
    );
}
