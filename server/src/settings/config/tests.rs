use super::*;

#[test]
fn no_two_places_are_one() {
    let table: &[(&[&str], Option<&str>, Option<&str>)] = &[
        (&["127.0.0.1:1", "[::]:1"], None, None),
        (&["0.0.0.0:1", "[::]:1"], Some("127.0.0.1:2"), None),
        (&["127.0.0.1:0", "127.0.0.1:0"], Some("127.0.0.1:0"), None),
        (&["127.0.0.1:1", "127.0.0.2:1"], None, None),
        (&["127.0.0.1:1", "unix:/x"], None, None),
        (&["127.0.0.1:1", "127.0.0.1:1"], None, Some("--listen")),
        (&["127.0.0.1:1", "tls:0.0.0.0:1"], None, Some("--listen")),
        (&["[::]:1", "memcached:[::1]:1"], None, Some("--listen")),
        (&["unix:/x", "native:unix:/x"], None, Some("--listen")),
        (&["127.0.0.1:1"], Some("0.0.0.0:1"), Some("--admin")),
        (&["127.0.0.1:1"], Some("[::1]:1"), None),
    ];
    for (listen, admin, refused) in table {
        let config = Config {
            listen: listen
                .iter()
                .map(|place| place.parse().expect("a place"))
                .collect(),
            admin: admin.map(|place| place.parse().expect("an address")),
            ..Config::default()
        };
        let told = config.validate().err();
        assert_eq!(
            told.as_ref().map(Invalid::setting),
            *refused,
            "{listen:?} {admin:?}"
        );
    }
}

#[test]
fn defaults_are_valid() {
    Config::default().validate().expect("defaults work");
}
