//! A trace of requests: gzip'd CSV with the header `key,size`, one request a line.
//!
//! Keys are renumbered from 0 in order of appearance, so that reference policies can keep
//! their state in plain arrays.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use flate2::read::GzDecoder;

/// One access.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Number of the key, from 0.
    pub key: u32,
    /// Bytes of the object; 0 if the trace does not say.
    pub size: u32,
}

/// Requests in their order.
#[derive(Clone, Debug)]
pub struct Trace {
    /// All of them.
    pub requests: Vec<Request>,
    /// Distinct keys: their numbers are below this.
    pub key_count: usize,
}

impl Trace {
    /// Reads the first `request_count_max` requests.
    ///
    /// # Errors
    /// What is wrong with the file, with the line's number.
    pub fn read(path: &Path, request_count_max: usize) -> Result<Trace, String> {
        let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut numbers: HashMap<u64, u32> = HashMap::new();
        let mut requests = Vec::new();
        let lines = BufReader::new(GzDecoder::new(file)).lines();
        for (line_no, line) in lines.enumerate().take(request_count_max.saturating_add(1)) {
            let line = line.map_err(|error| format!("{}: {error}", path.display()))?;
            if line_no == 0 && line.starts_with("key") {
                continue;
            }
            let parsed = line
                .split_once(',')
                .and_then(|(key, size)| Some((key.parse().ok()?, size.parse().ok()?)));
            let Some((key, size)) = parsed else {
                return Err(format!("{}:{}: not key,size", path.display(), line_no + 1));
            };
            let next = numbers.len() as u32;
            let key = *numbers.entry(key).or_insert(next);
            requests.push(Request { key, size });
        }
        Ok(Trace {
            requests,
            key_count: numbers.len(),
        })
    }

    /// Whether any request has a size.
    #[must_use]
    pub fn has_sizes(&self) -> bool {
        self.requests.iter().any(|request| request.size > 0)
    }

    /// The sum of the sizes of all distinct keys, each at its largest.
    #[must_use]
    pub fn distinct_bytes(&self) -> u64 {
        let mut sizes = vec![0u32; self.key_count];
        for request in &self.requests {
            let size = &mut sizes[request.key as usize];
            *size = request.size.max(*size);
        }
        sizes.into_iter().map(u64::from).sum()
    }
}
