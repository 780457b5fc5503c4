use super::*;

/// A root directory with these files, removed when dropped.
struct Root(PathBuf);

impl Root {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let dir = format!("flagstone-cgroup-{}-{name}", std::process::id());
        let root = Root(std::env::temp_dir().join(dir));
        for (path, text) in files {
            root.write(path, text);
        }
        root
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().expect("has one")).expect("can be made");
        fs::write(path, text).expect("writable");
    }

    fn limit(&self) -> Result<Option<u64>, String> {
        Groups::find(&self.0)
            .and_then(|groups| groups.limit_bytes())
            .map_err(|error| error.to_string())
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const V2_MOUNT: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";
const V1_MOUNT: &str = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n";

#[test]
fn limits_are_numbers_or_none() {
    let table: &[(&str, Option<Option<u64>>)] = &[
        ("67108864\n", Some(Some(64 << 20))),
        ("max\n", Some(None)),
        ("9223372036854771712\n", Some(None)),
        ("18446744073709551615\n", Some(None)),
        ("0\n", Some(Some(0))),
        ("", None),
        ("\n", None),
        ("plenty\n", None),
        ("-1\n", None),
        ("64m\n", None),
        ("99999999999999999999999\n", None),
    ];
    for &(text, expected) in table {
        assert_eq!(parse_limit(text.as_bytes()), expected, "{text:?}");
    }
}

#[test]
fn the_least_limit_on_the_way_up_counts() {
    let root = Root::new(
        "ancestors",
        &[
            ("proc/self/cgroup", "0::/kubepods/pod1/box\n"),
            ("proc/self/mountinfo", V2_MOUNT),
            ("sys/fs/cgroup/kubepods/pod1/box/memory.max", "max\n"),
            ("sys/fs/cgroup/kubepods/pod1/memory.max", "67108864\n"),
            ("sys/fs/cgroup/kubepods/memory.max", "1073741824\n"),
        ],
    );
    assert_eq!(root.limit(), Ok(Some(64 << 20)));
    root.write("sys/fs/cgroup/kubepods/pod1/box/memory.max", "33554432\n");
    assert_eq!(root.limit(), Ok(Some(32 << 20)));
}

#[test]
fn a_mount_that_begins_at_the_containers_group_is_understood() {
    let mount = "35 31 0:32 /docker/ab12 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
    let files = [
        (
            "proc/self/cgroup",
            "5:cpu:/docker/ab12\n4:memory:/docker/ab12\n0::/docker/ab12\n",
        ),
        ("proc/self/mountinfo", mount),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", "67108864\n"),
        ("sys/fs/cgroup/memory.limit_in_bytes", "1\n"),
    ];
    assert_eq!(
        Root::new("v1-container", &files).limit(),
        Ok(Some(64 << 20))
    );
    // With a namespace of its own the group is the root of what can be seen.
    let files = [
        ("proc/self/cgroup", "0::/\n"),
        ("proc/self/mountinfo", V2_MOUNT),
        ("sys/fs/cgroup/memory.max", "67108864\n"),
    ];
    assert_eq!(
        Root::new("v2-container", &files).limit(),
        Ok(Some(64 << 20))
    );
    // A group outside of what is mounted.
    let files = [
        ("proc/self/cgroup", "0::/../other\n"),
        ("proc/self/mountinfo", V2_MOUNT),
        ("sys/fs/cgroup/memory.max", "33554432\n"),
    ];
    assert_eq!(Root::new("v2-outside", &files).limit(), Ok(Some(32 << 20)));
}

#[test]
fn both_hierarchies_count() {
    let mounts = format!("{V1_MOUNT}41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    let files = [
        ("proc/self/cgroup", "4:cpu,memory:/box\n0::/box\n"),
        ("proc/self/mountinfo", mounts.as_str()),
        (
            "sys/fs/cgroup/memory/box/memory.limit_in_bytes",
            "67108864\n",
        ),
        ("sys/fs/cgroup/memory/box/memory.usage_in_bytes", "5\n"),
        ("sys/fs/cgroup/unified/box/memory.max", "33554432\n"),
    ];
    let root = Root::new("hybrid", &files);
    assert_eq!(root.limit(), Ok(Some(32 << 20)));
    let mut watch = Groups::find(&root.0).expect("readable").watch();
    assert_eq!(watch.usage_bytes(), Some(5));
}

#[test]
fn where_nothing_is_said_there_is_no_limit() {
    assert_eq!(Root::new("empty", &[]).limit(), Ok(None));
    let files = [
        ("proc/self/cgroup", "0::/\n"),
        ("proc/self/mountinfo", V2_MOUNT),
    ];
    assert_eq!(Root::new("no-controller", &files).limit(), Ok(None));
}

#[test]
fn nonsense_is_an_error_that_names_the_file() {
    let files = [
        ("proc/self/cgroup", "0::/\n"),
        ("proc/self/mountinfo", V2_MOUNT),
        ("sys/fs/cgroup/memory.max", "plenty\n"),
    ];
    let error = Root::new("nonsense", &files).limit().unwrap_err();
    assert!(error.starts_with("cannot read "), "{error}");
    assert!(
        error.ends_with("sys/fs/cgroup/memory.max (\"plenty\" is no limit)"),
        "{error}"
    );
    // A directory cannot be read; permissions would not stop root.
    let root = Root::new("directory", &files[..2]);
    root.write("sys/fs/cgroup/memory.max/inside", "");
    let error = root.limit().unwrap_err();
    assert!(error.contains("memory.max ("), "{error}");
}

#[test]
fn figures_of_both_versions() {
    let root = Root::new(
        "figures",
        &[
            ("proc/self/cgroup", "0::/\n"),
            ("proc/self/mountinfo", V2_MOUNT),
            ("sys/fs/cgroup/memory.max", "67108864\n"),
            ("sys/fs/cgroup/memory.current", "1000\n"),
            (
                "sys/fs/cgroup/memory.events",
                "low 0\nhigh 1\nmax 7\noom 3\noom_kill 2\noom_group_kill 0\n",
            ),
            (
                "sys/fs/cgroup/memory.stat",
                "anon 5\nsock 4096\nsocket 1\ninactive_file 300\n",
            ),
            (
                "sys/fs/cgroup/memory.pressure",
                "some avg10=12.34 avg60=0.00 avg300=0.00 total=5\nfull avg10=1.00\n",
            ),
        ],
    );
    let mut watch = Groups::find(&root.0).expect("readable").watch();
    assert!(watch.has_limits());
    assert_eq!(watch.limit_bytes(), Some(Some(64 << 20)));
    let expected = Figures {
        usage_bytes: Some(1000),
        idle_file_bytes: 300,
        socket_bytes: Some(4096),
        at_limit_count: 7,
        kill_count: 2,
        pressure_hundredths: 1234,
    };
    assert_eq!(watch.figures(), expected);
    root.write("sys/fs/cgroup/memory.max", "33554432\n");
    assert_eq!(watch.limit_bytes(), Some(Some(32 << 20)));
    root.write("sys/fs/cgroup/memory.max", "");
    assert_eq!(watch.limit_bytes(), None);

    let root = Root::new(
        "figures-v1",
        &[
            ("proc/self/cgroup", "4:memory:/box\n"),
            ("proc/self/mountinfo", V1_MOUNT),
            (
                "sys/fs/cgroup/memory/box/memory.limit_in_bytes",
                "1000000\n",
            ),
            ("sys/fs/cgroup/memory/box/memory.usage_in_bytes", "77\n"),
            ("sys/fs/cgroup/memory/box/memory.failcnt", "9\n"),
            (
                "sys/fs/cgroup/memory/box/memory.oom_control",
                "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n",
            ),
            (
                "sys/fs/cgroup/memory/box/memory.stat",
                "inactive_file 1\ntotal_inactive_file 2\n",
            ),
        ],
    );
    let mut watch = Groups::find(&root.0).expect("readable").watch();
    let expected = Figures {
        usage_bytes: Some(77),
        idle_file_bytes: 2,
        socket_bytes: None,
        at_limit_count: 9,
        kill_count: 4,
        pressure_hundredths: 0,
    };
    assert_eq!(watch.figures(), expected);
}

#[test]
fn spaces_in_mount_points_are_unescaped() {
    assert_eq!(unescape("/a\\040b"), "/a b");
    assert_eq!(unescape("/plain"), "/plain");
    assert_eq!(unescape("/odd\\9"), "/odd\\9");
}
