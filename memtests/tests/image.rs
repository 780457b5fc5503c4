//! Goal: the image is what its Dockerfile promises: small, not root, healthy, and content
//! with nothing.
//! Method: run it as a user would, with a published port, a read-only root and no capability;
//! talk to it; ask the engine; stop it.

use flagstone_memtests::docker::{Container, ContainerOptions, docker};
use flagstone_memtests::stats::{Client, wait_until_listening};
use flagstone_memtests::subject::Place;
use flagstone_memtests::table::say;
use flagstone_memtests::{quiet, skip};
use std::time::{Duration, Instant};

const IMAGE_BYTES_MAX: u64 = 6_000_000;

#[test]
fn the_image_runs_as_a_user_would_run_it() {
    let _quiet = quiet();
    let image = match Place::docker() {
        Ok(Place::Docker { image }) => image,
        Ok(Place::Group { .. }) => unreachable!("asked for containers"),
        Err(why) => return skip("the_image_runs_as_a_user_would_run_it", &why),
    };
    let ask = |format: &str| {
        docker(&["image", "inspect", "--format", format, &image]).expect("the image is there")
    };

    let size: u64 = ask("{{.Size}}").parse().expect("a number");
    say(&format!("image {image}: {:.2} MB", size as f64 / 1e6));
    assert!(size <= IMAGE_BYTES_MAX, "{size} bytes");
    assert_eq!(ask("{{.Config.User}}"), "65532:65532");
    assert!(ask("{{.Config.ExposedPorts}}").contains("7171/tcp"));
    let environment = ask("{{.Config.Env}}");
    for setting in ["LISTEN=0.0.0.0:7171,[::]:7171", "ADMIN=[::]:7172"] {
        assert!(environment.contains(&format!("FLAGSTONE_{setting}")));
    }
    assert!(ask("{{json .Config.Healthcheck.Test}}").contains("healthcheck"));
    assert!(ask("{{json .Config.Labels}}").contains("org.opencontainers.image.title"));

    let container = Container::run(&ContainerOptions {
        image,
        limit_bytes: 64 << 20,
        open_files: 20_000,
        published: true,
        env: Vec::new(),
        args: Vec::new(),
        more: vec!["--health-interval=1s".to_owned()],
    })
    .expect("the container starts");
    let address = container.published_address().expect("a published port");
    wait_until_listening(address, || {
        container.state().is_ok_and(|state| state.running)
    })
    .expect("it listens");
    let mut client = Client::connect(address).expect("it accepts");
    // The proxy of a published port accepts before the server does: the first answer is the
    // proof.
    assert_eq!(client.ask("PUT greeting hello").expect("an answer"), "OK");
    assert_eq!(client.ask("GET greeting").expect("an answer"), "hello");

    let start = Instant::now();
    while container.state().expect("the engine answers").health != "healthy" {
        assert!(
            start.elapsed() < Duration::from_secs(15),
            "{:?}\n{}",
            container.state(),
            container.log()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    let status = std::fs::read_to_string(format!(
        "/proc/{}/status",
        container.state().expect("it runs").pid
    ));
    // Another user's process, or an engine in another machine, cannot be looked into; the
    // image's USER is checked above.
    if let Ok(status) = status {
        let line = |name: &str| {
            status
                .lines()
                .find(|line| line.starts_with(name))
                .map(str::to_owned)
        };
        assert_eq!(
            line("Uid:").as_deref(),
            Some("Uid:\t65532\t65532\t65532\t65532")
        );
        assert_eq!(
            line("CapEff:").as_deref(),
            Some("CapEff:\t0000000000000000")
        );
    }

    let start = Instant::now();
    container.stop().expect("it stops");
    let state = container.state().expect("the engine answers");
    assert!(
        !state.running && state.exit_code == 0 && !state.oom_killed,
        "{state:?}\n{}",
        container.log()
    );
    assert!(
        start.elapsed() < Duration::from_secs(9),
        "it had to be killed"
    );
}
