//! What the hit ratio would be with less memory, or more, under names that all protocols share.

use std::sync::atomic::Ordering::Relaxed;

use crate::observe::curve::CurveFigures;
use crate::proto::writer::Writer;
use crate::proto::{Reply, Stat};
use crate::server::shared::Shared;

/// The points' names, from the least memory to the most.
const NAMES: [&str; flagstone_engine::CURVE_POINTS] = [
    "curve_hit_percent_0.25",
    "curve_hit_percent_0.5",
    "curve_hit_percent_0.75",
    "curve_hit_percent_1",
    "curve_hit_percent_1.5",
    "curve_hit_percent_2",
    "curve_hit_percent_4",
];

/// A decimal fraction with two digits.
struct Hundredths {
    text: [u8; 24],
    len: usize,
}

impl Hundredths {
    fn new(value: f64) -> Self {
        let hundredths = (100.0 * value).round();
        let whole = hundredths.abs() as u64;
        let mut text = [0; 24];
        let mut writer = Writer::new(&mut text);
        // All of it always fits.
        let _ = (|| {
            writer.put(if hundredths < 0.0 { b"-" } else { b"" })?;
            writer.number(whole / 100)?;
            writer.put(if whole % 100 < 10 { b".0" } else { b"." })?;
            writer.number(whole % 100)
        })();
        let len = writer.len();
        Hundredths { text, len }
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..self.len]).unwrap_or_default()
    }
}

/// One line after the other; none without a model. `None` as soon as `tell` has no room.
pub fn tell(shared: &Shared<'_>, tell: &mut dyn FnMut(Reply<'_>) -> Option<()>) -> Option<()> {
    let memory_bytes = shared.memory.memory_bytes.load(Relaxed);
    match shared.curve.figures(memory_bytes) {
        Some(figures) => tell_figures(&figures, tell),
        None => Some(()),
    }
}

fn tell_figures(
    figures: &CurveFigures,
    tell: &mut dyn FnMut(Reply<'_>) -> Option<()>,
) -> Option<()> {
    let points = &figures.points;
    for (name, point) in NAMES.into_iter().zip(&points.points) {
        let text = Hundredths::new(100.0 * point.hit_ratio);
        tell(Reply::Stats(&[Stat::text(name, text.as_str())]))?;
    }
    let error = Hundredths::new(100.0 * figures.error());
    let gain = Hundredths::new(100.0 * figures.gain());
    let filled = points.points.iter().filter(|point| point.is_full).count();
    tell(Reply::Stats(&[
        Stat::text("curve_error_points", error.as_str()),
        Stat::text("curve_gain_points_2", gain.as_str()),
        Stat::number("curve_points_full", filled as u64),
        Stat::number("curve_requests", points.requests as u64),
        Stat::number("curve_noted", points.noted),
        Stat::number("curve_lost", figures.lost),
        Stat::number("memory_bytes_advised", figures.advised_bytes.unwrap_or(0)),
    ]))
}

#[cfg(test)]
mod tests {
    use super::Hundredths;

    #[test]
    fn hundredths_are_two_digits() {
        for (value, text) in [
            (0.0, "0.00"),
            (81.236, "81.24"),
            (-0.05, "-0.05"),
            (100.0, "100.00"),
            (7.5, "7.50"),
        ] {
            assert_eq!(Hundredths::new(value).as_str(), text);
        }
    }
}
