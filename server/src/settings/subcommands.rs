//! What the binary does beside serving, as the command line names it.

use clap::Subcommand;

#[derive(Subcommand)]
pub(super) enum Sub {
    /// Print where each byte of the memory would go, and exit
    Plan,
    /// Print the counters of a running server; where it wants a login, with the first of its
    /// --auth-token-file or --auth-file, and over TLS only if it presents the certificate of
    /// --tls-cert
    Stats {
        /// Where to ask [default: the first plain place of --listen; 127.0.0.1 for 0.0.0.0]
        #[arg(value_name = "PLACE")]
        address: Option<String>,
    },
    /// Watch a running server: rates, percentiles, memory, size classes; where its pages want a token,
    /// with the first of its --admin-token-file
    Top {
        /// Where its admin pages are [default: --admin; 127.0.0.1 for 0.0.0.0]
        #[arg(value_name = "ADDR:PORT")]
        address: Option<String>,
        /// Print one view and exit, as it also does when the output is no terminal
        #[arg(long)]
        once: bool,
    },
    /// Ask a running server whether it answers: exit code 0 if it does, else 1. One that listens
    /// for TLS alone is asked at its admin pages, where --admin names them, else over TLS
    Healthcheck {
        /// Where to ask [default: the first plain place of --listen; 127.0.0.1 for 0.0.0.0]
        #[arg(long, value_name = "PLACE")]
        address: Option<String>,
    },
    /// Ask a running server for a snapshot in the file of its --snapshot, and wait until it is written: exit
    /// code 0 if it is, else 1; where its pages want a token, with the first of its --admin-token-file
    Snapshot {
        /// Where its admin pages are [default: --admin; 127.0.0.1 for 0.0.0.0]
        #[arg(value_name = "ADDR:PORT")]
        address: Option<String>,
    },
}
