//! Settings: from flags, the environment and a file, and what is said of those that cannot work.

use crate::common::process::run;

/// Arguments, environment, the sentence.
type Row = (
    &'static [&'static str],
    &'static [(&'static str, &'static str)],
    &'static str,
);

#[test]
fn a_wrong_value_is_refused_with_setting_value_and_what_works() {
    let table: &[Row] = &[
        (
            &["--memory", "12q"],
            &[],
            "--memory \"12q\" is not a size: bytes or a whole number with k, m, g \
             (powers of 1024) work, such as 64m, 48MiB, 64Mi or 1g",
        ),
        (
            &[],
            &[("FLAGSTONE_WORKERS", "lots")],
            "FLAGSTONE_WORKERS (--workers) \"lots\" is not a whole number in range: 1 to 256 work",
        ),
        (
            &["--workers", "0"],
            &[],
            "--workers \"0\" is not a whole number in range: 1 to 256 work",
        ),
        (
            &["--max-connections", "0"],
            &[],
            "--max-connections \"0\" is not a whole number in range: 1 to 1000000 work",
        ),
        (
            &["--listen", "nowhere"],
            &[],
            "--listen \"nowhere\" is not an address with a port: such as 127.0.0.1:7171, \
             0.0.0.0:7171 or [::1]:7171 work, unix:PATH, tls: before an address, proxy: before any of them, native:, memcached:, \
             binary: or resp: before any of those, several separated by commas",
        ),
        (
            &["--arena", "nmap"],
            &[],
            "--arena \"nmap\" is no kind of arena: heap, mmap or a file's path with a slash in \
             it (./arena) work",
        ),
        (
            &[],
            &[("FLAGSTONE_PREFAULT", "perhaps")],
            "FLAGSTONE_PREFAULT (--prefault) \"perhaps\" is neither yes nor no: true, yes, on, 1 \
             and false, no, off, 0 work",
        ),
        (
            &["--admin", "7172"],
            &[],
            "--admin \"7172\" is not an address with a port, nor none: such as 127.0.0.1:7172 or \
             0.0.0.0:7172 work",
        ),
        (
            &[],
            &[("FLAGSTONE_DRAIN_DELAY", "a while")],
            "FLAGSTONE_DRAIN_DELAY (--drain-delay) \"a while\" is not a time in range: seconds or a \
             whole number with ms, s, m or h work, from 0 to 24h",
        ),
        (
            &["--drain-timeout", "soon"],
            &[],
            "--drain-timeout \"soon\" is not a time in range: seconds or a whole number with ms, \
             s, m or h work, from 1ms to 24h",
        ),
    ];
    for &(arguments, environment, sentence) in table {
        for subcommand in [&[][..], &["plan"]] {
            let output = run(&[subcommand, arguments].concat(), environment);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(stderr, format!("flagstone: {sentence}\n"));
            assert_eq!(output.status.code(), Some(2));
        }
    }
}

/// A file of settings, removed when dropped.
struct Settings(std::path::PathBuf);

impl Settings {
    fn new(name: &str, text: &str) -> Self {
        let file = format!("flagstone-settings-{}-{name}.toml", std::process::id());
        let file = Settings(std::env::temp_dir().join(file));
        std::fs::write(&file.0, text).expect("writable");
        file
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("text")
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_flag_beats_a_variable_beats_the_file_beats_the_default() {
    let file = Settings::new(
        "layers",
        "listen = [\"127.0.0.1:1\", \"memcached:127.0.0.1:2\"]\nmemory = \"64m\"\nmax-item = \"2m\"\n\
         prefault = true\nmax-connections = 77\n",
    );
    let path = file.path();
    let output = run(
        &["--print-config", "--config", path, "--workers", "3"],
        &[("FLAGSTONE_MAX_ITEM", "512k"), ("FLAGSTONE_WORKERS", "7")],
    );
    let text = String::from_utf8(output.stdout).expect("text");
    for line in [
        format!("listen = [\"127.0.0.1:1\", \"memcached:127.0.0.1:2\"]  # {path}"),
        format!("memory = \"64m\"  # {path}"),
        "max-item = \"512k\"  # FLAGSTONE_MAX_ITEM".to_owned(),
        "workers = \"3\"  # --workers".to_owned(),
        format!("prefault = \"true\"  # {path}"),
        format!("max-connections = \"77\"  # {path}"),
        "admin = \"127.0.0.1:7172\"  # default".to_owned(),
        "# memory-max is not set".to_owned(),
    ] {
        assert!(
            text.lines().any(|told| told == line),
            "no {line:?} in {text}"
        );
    }
    // What is printed is a file of settings, and means the same.
    let printed = Settings::new("printed", &text);
    let again = run(&["--print-config", "--config", printed.path()], &[]);
    let again = String::from_utf8(again.stdout).expect("text");
    let values = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| line.split("  # ").next().unwrap_or("").to_owned())
            .collect()
    };
    assert_eq!(values(&text), values(&again));
    assert!(values(&text).len() > 12, "{text}");
    // The file may be named by the environment.
    let output = run(&["plan"], &[("FLAGSTONE_CONFIG", path)]);
    let plan = String::from_utf8(output.stdout).expect("text");
    assert!(plan.contains("67108864  64MiB"), "{plan}");
}

#[test]
fn a_wrong_file_is_refused_with_its_line_and_what_works() {
    let missing = "/flagstone-has-no-such-file.toml";
    let output = run(&["--check-config", "--config", missing], &[]);
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        format!(
            "flagstone: --config \"{missing}\" cannot be read: No such file or directory (os error 2)\n"
        )
    );
    assert_eq!(output.status.code(), Some(2));
    for (text, sentence) in [
        (
            "memory = \"64m\"\nmemroy = \"64m\"\n",
            "flagstone: --config \"PATH\" has \"memroy\" in line 2, which is no setting: those of \
             flagstone --help are, without their dashes in front\n",
        ),
        (
            "config = \"other.toml\"\n",
            "flagstone: --config \"PATH\" has \"config\" in line 1, which is no setting: those of \
             flagstone --help are, without their dashes in front\n",
        ),
        (
            "workers = \"lots\"\n",
            "flagstone: PATH line 1 (--workers) \"lots\" is not a whole number in range: 1 to 256 work\n",
        ),
        (
            "memory = \"100k\"\nworkers = 1\nmax-connections = 100\n",
            "flagstone: PATH line 1 (--memory) \"100KiB\" is too small for 100 connections, ",
        ),
        (
            "# Messages\nlog-format = \"xml\"\n",
            "flagstone: PATH line 2 (--log-format) \"xml\" is no format: plain or json work\n",
        ),
    ] {
        let file = Settings::new("wrong", text);
        let output = run(&["--check-config", "--config", file.path()], &[]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        let sentence = sentence.replace("PATH", file.path());
        assert!(
            stderr.starts_with(&sentence),
            "{stderr} instead of {sentence}"
        );
        assert_eq!(output.status.code(), Some(2));
    }
    let right = Settings::new("right", "memory = \"64m\"\n");
    let output = run(&["--check-config", "--config", right.path()], &[]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "flagstone: the settings work\n"
    );
    assert_eq!(output.status.code(), Some(0));
}
