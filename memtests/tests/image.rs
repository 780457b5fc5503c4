//! Goal: the image is what its Dockerfile promises: small, not root, healthy, and content
//! with nothing.
//! Method: run it as a user would, with a published port, a read-only root and no capability;
//! talk to it; ask the engine; stop it.

use flagstone_memtests::docker::{Container, ContainerOptions, docker};
use flagstone_memtests::stats::{Client, number, wait_until_listening};
use flagstone_memtests::subject::Place;
use flagstone_memtests::table::say;
use flagstone_memtests::{quiet, skip};
use std::time::{Duration, Instant};

const IMAGE_BYTES_MAX: u64 = 6_700_000;

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

/// With its arena on a tmpfs of the machine, a container that is restarted or killed comes back full, within its limit.
#[test]
fn a_container_comes_back_full() {
    let _quiet = quiet();
    let image = match Place::docker() {
        Ok(Place::Docker { image }) => image,
        Ok(Place::Group { .. }) => unreachable!("asked for containers"),
        Err(why) => return skip("a_container_comes_back_full", &why),
    };
    let directory = Shared::new();
    let container = Container::run(&ContainerOptions {
        image,
        limit_bytes: 64 << 20,
        open_files: 20_000,
        published: true,
        env: Vec::new(),
        args: vec!["--arena".to_owned(), "/cache/arena".to_owned()],
        more: vec!["--volume".to_owned(), directory.mount()],
    })
    .expect("the container starts");
    let connect = || {
        let address = container.published_address().expect("a published port");
        let runs = || container.state().is_ok_and(|state| state.running);
        wait_until_listening(address, runs).expect("it listens");
        Client::connect(address).expect("it accepts")
    };
    let mut client = connect();
    // More than it holds: it is full.
    for number in 0..100_000 {
        let put = format!("PUT key-{number} {number}-{}", "x".repeat(600));
        assert_eq!(client.ask(&put).expect("an answer"), "OK");
    }
    let items = |client: &mut Client| number(&client.stats("STATS").expect("stats"), "items");
    let held = items(&mut client);
    assert!(held > 40_000, "{held} items");
    for end in ["restart", "kill"] {
        if end == "restart" {
            docker(&["restart", container.id()]).expect("restarts");
        } else {
            docker(&["kill", "--signal", "KILL", container.id()]).expect("is killed");
            docker(&["start", container.id()]).expect("starts");
        }
        let mut client = connect();
        let stats = client.stats("STATS").expect("stats");
        let restored = number(&stats, "arena_restored_items");
        say(&format!(
            "docker {end}: {restored} of {held} items, in {} ms",
            number(&stats, "arena_restored_millis")
        ));
        assert_eq!(restored, held, "{}", container.log());
        let last = client.ask("GET key-99999").expect("an answer");
        assert!(last.starts_with("99999-x"), "{last}");
        assert!(!container.state().expect("it runs").oom_killed);
    }
    container.stop().expect("it stops");
}

/// A directory on a tmpfs that the image's user may write to.
struct Shared(std::path::PathBuf);

impl Shared {
    fn new() -> Self {
        let name = format!("flagstone-image-{}", std::process::id());
        let path = std::path::Path::new("/dev/shm").join(name);
        std::fs::create_dir_all(&path).expect("a directory in memory");
        let anybody = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(&path, anybody).expect("it is ours");
        Shared(path)
    }

    fn mount(&self) -> String {
        format!("{}:/cache", self.0.display())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
