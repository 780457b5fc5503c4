//! The floors as programs: `echo --reactor epoll|tokio [--listen 127.0.0.1:0] [--workers 1]
//! [--protocol native] [--value-size 32]`. Prints the address it listens on, then serves until
//! it is killed.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::thread;

use flagstone_bench::wire::PROTOCOLS;
use flagstone_benches::args::Args;
use flagstone_benches::echo::{self, Canned};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("echo: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let mut args = Args::of_process();
    let reactor: String = args.option("--reactor")?.unwrap_or_else(|| "tokio".into());
    let listen = args.option::<SocketAddr>("--listen")?;
    let workers = args.option::<usize>("--workers")?.unwrap_or(1).max(1);
    let name: String = args
        .option("--protocol")?
        .unwrap_or_else(|| "native".into());
    let value_bytes = args.option::<usize>("--value-size")?.unwrap_or(32);
    if let Some(word) = args.words()?.first() {
        return Err(format!("{word} means nothing here"));
    }
    let protocol = PROTOCOLS.iter().find(|(known, _)| *known == name);
    let (_, protocol) = protocol.ok_or_else(|| format!("--protocol {name} is not known"))?;
    let canned = Canned::new(*protocol, value_bytes);
    let serve: fn(std::net::TcpListener, &Canned) -> std::io::Result<()> = match &*reactor {
        "epoll" => |listener, canned| echo::epoll::serve(&listener, canned),
        "tokio" => echo::tokio_rt::serve,
        _ => return Err(format!("--reactor {reactor}: epoll and tokio are there")),
    };
    let address = listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
    // Ten thousand connections are among the shapes.
    let _ = flagstone_bench::process::raise_open_files();
    let listeners =
        echo::listeners(address, workers).map_err(|error| format!("{address}: {error}"))?;
    let address = listeners[0].local_addr().map_err(|e| e.to_string())?;
    println!("listening on {address}");
    thread::scope(|scope| {
        let canned = &canned;
        let workers: Vec<_> = listeners
            .into_iter()
            .map(|listener| scope.spawn(move || serve(listener, canned)))
            .collect();
        workers.into_iter().try_for_each(|worker| {
            let served = worker.join().map_err(|_| "a worker panicked".to_owned())?;
            served.map_err(|error| error.to_string())
        })
    })
}
