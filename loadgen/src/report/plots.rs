//! Plots of a report, or of several in one: a curve for each kind of request, or each server.

use super::{Latency, OverTime, Throughput, grouped, time_text};
use crate::chart::{Axis, Curve, linear_ticks, lines};

/// Latency over percentiles. Across, each step to the right leaves a tenth of the requests
/// that the step before left: the tail is what a plot of latency is for.
pub(super) fn latency_plot(subjects: &[(&str, &Latency)]) -> String {
    let least = |figure: fn(&Latency) -> f64| {
        let figures = subjects.iter().map(|(_, latency)| figure(latency));
        figures.fold(f64::MAX, f64::min)
    };
    let most = |figure: fn(&Latency) -> f64| {
        let figures = subjects.iter().map(|(_, latency)| figure(latency));
        figures.fold(0.0, f64::max)
    };
    let decades = most(|l| l.count as f64).max(10.0).log10().ceil();
    let at_x = |percent: f64| -(1.0 - percent / 100.0).max(1e-12).log10() / decades;
    let low = least(|l| l.min).clamp(0.1, 1e8).log10().floor();
    let high = most(|l| l.max).max(1.0).log10().ceil().max(low + 1.0);
    let at_y = |us: f64| (us.max(0.1).log10() - low) / (high - low);
    let x_ticks = (0..=decades as i32).map(|decade| {
        let percent = 100.0 * (1.0 - 10f64.powi(-decade));
        let digits = (decade - 2).max(0) as usize;
        (at_x(percent), format!("{percent:.digits$}"))
    });
    // The median lies between the first two, and is what is looked for first.
    let x_ticks = x_ticks.chain([(at_x(50.0), "50".to_owned())]);
    let y_ticks = (low as i32..=high as i32).map(|power| {
        let us = 10f64.powi(power);
        (at_y(us), time_text(us))
    });
    let curves: Vec<Curve> = subjects
        .iter()
        .map(|(name, latency)| Curve {
            name: (*name).to_owned(),
            points: latency
                .curve
                .iter()
                .map(|&(percent, us)| (at_x(percent), at_y(us)))
                .collect(),
        })
        .collect();
    let x = Axis {
        label: "percentile".to_owned(),
        ticks: x_ticks.collect(),
    };
    let y = Axis {
        label: "latency".to_owned(),
        ticks: y_ticks.collect(),
    };
    lines("Latency by percentile", &x, &y, &curves)
}

/// Latency over the run. An interval without a reply is a gap: the server stalled.
pub(super) fn over_time_plot(subjects: &[(&str, &OverTime, &[Option<f64>])]) -> String {
    let known = || {
        subjects
            .iter()
            .flat_map(|(_, _, us)| us.iter().flatten().copied())
    };
    let low = known().fold(f64::MAX, f64::min).clamp(0.1, 1e8);
    let low = low.log10().floor();
    let high = known().fold(1.0, f64::max).log10().ceil().max(low + 1.0);
    let seconds = subjects
        .iter()
        .map(|(_, over, us)| us.len() as f64 * over.interval_seconds);
    let (end, x_ticks) = linear_ticks(seconds.fold(0.0, f64::max), second_text);
    let curve = |&(name, over, latencies): &(&str, &OverTime, &[Option<f64>])| Curve {
        name: name.to_owned(),
        points: latencies
            .iter()
            .enumerate()
            .map(|(at, us)| {
                let y = us.map_or(f64::NAN, |us| (us.max(0.1).log10() - low) / (high - low));
                ((at as f64 + 0.5) * over.interval_seconds / end, y)
            })
            .collect(),
    };
    let y_ticks = (low as i32..=high as i32).map(|power| {
        let at = (f64::from(power) - low) / (high - low);
        (at, time_text(10f64.powi(power)))
    });
    let x = Axis {
        label: "time".to_owned(),
        ticks: x_ticks,
    };
    let y = Axis {
        label: "latency".to_owned(),
        ticks: y_ticks.collect(),
    };
    let curves: Vec<Curve> = subjects.iter().map(curve).collect();
    // One server has two percentiles; several have one each, which the title names.
    let title = match subjects {
        [(_, one, _), (_, other, _)] if std::ptr::eq(*one, *other) => "Latency over time",
        _ => "p99 over time",
    };
    lines(title, &x, &y, &curves)
}

/// Requests a second over the run.
pub(super) fn throughput_plot(subjects: &[(&str, &Throughput)]) -> String {
    let rates: Vec<Vec<f64>> = subjects
        .iter()
        .map(|(_, throughput)| rates(throughput))
        .collect();
    let most = rates.iter().flatten().copied().fold(0.0, f64::max);
    let (top, y_ticks) = linear_ticks(most, |rate| grouped(rate as u64));
    let seconds = subjects.iter().zip(&rates);
    let seconds =
        seconds.map(|((_, throughput), rates)| rates.len() as f64 * throughput.slot_seconds);
    let (end, x_ticks) = linear_ticks(seconds.fold(0.0, f64::max), second_text);
    let curve = |((name, throughput), rates): (&(&str, &Throughput), &Vec<f64>)| Curve {
        name: (*name).to_owned(),
        points: rates
            .iter()
            .enumerate()
            .map(|(at, rate)| {
                (
                    (at as f64 + 0.5) * throughput.slot_seconds / end,
                    rate / top,
                )
            })
            .collect(),
    };
    let x = Axis {
        label: "time".to_owned(),
        ticks: x_ticks,
    };
    let y = Axis {
        label: "requests a second".to_owned(),
        ticks: y_ticks,
    };
    let curves: Vec<Curve> = subjects.iter().zip(&rates).map(curve).collect();
    lines("Throughput over time", &x, &y, &curves)
}

fn rates(throughput: &Throughput) -> Vec<f64> {
    let replies = throughput.replies.iter();
    let mut rates: Vec<f64> = replies
        .map(|&replies| replies as f64 / throughput.slot_seconds)
        .collect();
    // The last slot is not full, and would look like a collapse.
    if rates.len() > 1 {
        rates.pop();
    }
    rates
}

fn second_text(second: f64) -> String {
    format!("{} s", (second * 100.0).round() / 100.0)
}
