//! Where connections come in, in the words in which reports tell it.

use super::endpoint::Place;

/// Where connections come in, in the words in which it is told.
#[derive(Clone, Debug, Default)]
pub struct Listen {
    /// The first TCP port; 0: none.
    pub tcp_port: u16,
    /// Its address.
    pub tcp: String,
    /// The first Unix socket.
    pub unix: String,
    /// Its file's permissions.
    pub unix_mode: String,
    /// All places.
    pub places: Vec<String>,
    /// The file with those who may log in.
    pub auth_file: String,
}

impl Listen {
    /// The words for `places`.
    pub fn new(places: &[Place], unix_mode: u32) -> Self {
        let nothing = || "NULL".to_owned();
        let mut listen = Listen {
            tcp_port: 0,
            tcp: nothing(),
            unix: nothing(),
            unix_mode: format!("{unix_mode:o}"),
            places: Vec::new(),
            auth_file: "no".to_owned(),
        };
        for place in places {
            match place {
                Place::Tcp(address) => {
                    if listen.tcp_port == 0 {
                        listen.tcp_port = address.port();
                        listen.tcp = address.ip().to_string();
                    }
                    listen.places.push(format!("tcp:{address}"));
                }
                Place::Unix(path) => {
                    listen.unix = path.display().to_string();
                    listen.places.push(place.to_string());
                }
            }
        }
        listen
    }
}
