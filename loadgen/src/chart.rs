//! Plots as SVG text: lines for a report, bars for a race. No script, no font, no style sheet
//! from elsewhere, so that the text can stand in a page or in a file of its own.

use std::fmt::Write;

/// Colours that are told apart on white and on black, and by most people who see few colours.
pub const COLOURS: [&str; 8] = [
    "#2f6fb2", "#d1661f", "#3a8f4d", "#9256a8", "#b03a48", "#6d6d6d", "#1e9aa0", "#b08a00",
];

/// Strokes for the same: curves are told apart without colours, too.
const DASHES: [&str; 8] = [
    "",
    "9 6",
    "1 5",
    "14 5 1 5",
    "5 5",
    "18 6",
    "9 5 1 5 1 5",
    "3 8",
];

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 48.0;

/// One axis: where a number lies, from 0 to 1, and which numbers are written beside it.
pub struct Axis {
    /// What it measures.
    pub label: String,
    /// Positions and words.
    pub ticks: Vec<(f64, String)>,
}

/// A curve of positions from 0 to 1 in both directions.
pub struct Curve {
    /// For the legend.
    pub name: String,
    /// From left to right. One without a height (NaN) is a gap.
    pub points: Vec<(f64, f64)>,
}

/// A plot of curves.
#[must_use]
pub fn lines(title: &str, x: &Axis, y: &Axis, curves: &[Curve]) -> String {
    let places = legend(curves);
    // Rows beyond the first make the plot higher.
    let more = places.last().map_or(0.0, |place| place.1);
    let (top, height) = (TOP + more, HEIGHT + more);
    let mut out = head(title, height);
    let (wide, high) = (WIDTH - LEFT - RIGHT, height - top - BOTTOM);
    let at_x = |position: f64| LEFT + position.clamp(0.0, 1.0) * wide;
    let at_y = |position: f64| height - BOTTOM - position.clamp(0.0, 1.0) * high;
    for (position, word) in &y.ticks {
        let at = at_y(*position);
        grid(&mut out, LEFT, at, WIDTH - RIGHT, at);
        text(&mut out, LEFT - 6.0, at + 4.0, "end", word);
    }
    for (position, word) in &x.ticks {
        let at = at_x(*position);
        grid(&mut out, at, top, at, height - BOTTOM);
        text(&mut out, at, height - BOTTOM + 16.0, "middle", word);
    }
    text(
        &mut out,
        LEFT + wide / 2.0,
        height - 10.0,
        "middle",
        &x.label,
    );
    text(&mut out, LEFT, top - 8.0, "start", &y.label);
    for (number, curve) in curves.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let dash = match DASHES[number % DASHES.len()] {
            "" => String::new(),
            dash => format!(r#" stroke-dasharray="{dash}""#),
        };
        for part in curve.points.split(|(_, y)| y.is_nan()) {
            // A point between two gaps would have no line: it gets one of no length.
            let lone = if part.len() == 1 { part } else { &[] };
            let points = part
                .iter()
                .chain(lone)
                .fold(String::new(), |mut text, &(px, py)| {
                    let _ = write!(text, "{:.1},{:.1} ", at_x(px), at_y(py));
                    text
                });
            if !points.is_empty() {
                let _ = writeln!(
                    out,
                    r#"<polyline fill="none" stroke="{colour}" stroke-width="2" stroke-linecap="round"{dash} points="{}"/>"#,
                    points.trim_end()
                );
            }
        }
        if let Some(&(x, row)) = places.get(number) {
            let (x2, y) = (x + SAMPLE, TOP - 12.0 + row);
            let _ = writeln!(
                out,
                r#"<path d="M{x:.1} {y:.1}H{x2:.1}" stroke="{colour}" stroke-width="3" stroke-linecap="round"{dash}/>"#
            );
            text(&mut out, x2 + 7.0, y + 4.0, "start", &curve.name);
        }
    }
    out.push_str("</svg>\n");
    out
}

/// How long the piece of a curve in the legend is.
const SAMPLE: f64 = 34.0;

/// Where the entries of a legend stand, from the left and below its first row: as many beside one
/// another as fit, each as wide as its name is in any font. One curve needs none.
fn legend(curves: &[Curve]) -> Vec<(f64, f64)> {
    const BEGIN: f64 = LEFT + 130.0;
    const ROW: f64 = 18.0;
    if curves.len() < 2 {
        return Vec::new();
    }
    let (mut x, mut row) = (BEGIN, 0.0);
    let place = |curve: &Curve| {
        let wide = SAMPLE + 7.0 + 7.2 * curve.name.chars().count() as f64 + 22.0;
        if x > BEGIN && x + wide > WIDTH {
            (x, row) = (BEGIN, row + ROW);
        }
        x += wide;
        (x - wide, row)
    };
    curves.iter().map(place).collect()
}

/// One group of bars.
pub struct Group {
    /// What was measured.
    pub name: String,
    /// A value for each subject, where there is one.
    pub values: Vec<Option<f64>>,
}

/// Groups of horizontal bars; each group has a scale of its own, because its bars are to be
/// compared with one another and with nothing else.
#[must_use]
pub fn bars(title: &str, subjects: &[String], groups: &[Group]) -> String {
    const BAR: f64 = 14.0;
    const GAP: f64 = 12.0;
    const NAME: f64 = 210.0;
    const NUMBER: f64 = 56.0;
    // Names of four subjects stand beside one another without touching.
    const LEGEND_COLUMNS: usize = 4;
    let legend = subjects.len().div_ceil(LEGEND_COLUMNS) as f64 * 18.0;
    let rows: usize = groups
        .iter()
        .map(|g| g.values.iter().flatten().count())
        .sum();
    let height = TOP + 10.0 + legend + rows as f64 * BAR + groups.len() as f64 * GAP;
    let mut out = head(title, height);
    let step = (WIDTH - 16.0) / LEGEND_COLUMNS as f64;
    for (number, subject) in subjects.iter().enumerate() {
        let at = 8.0 + (number % LEGEND_COLUMNS) as f64 * step;
        let y = TOP + (number / LEGEND_COLUMNS) as f64 * 18.0;
        square(&mut out, at, y - 13.0, COLOURS[number % COLOURS.len()]);
        text(&mut out, at + 14.0, y - 4.0, "start", subject);
    }
    let mut y = TOP + legend;
    for group in groups {
        let most = group.values.iter().flatten().copied().fold(0.0, f64::max);
        text(&mut out, NAME - 8.0, y + BAR - 3.0, "end", &group.name);
        for (number, value) in group.values.iter().enumerate() {
            let Some(value) = *value else { continue };
            let wide = value / most.max(f64::MIN_POSITIVE) * (WIDTH - NAME - NUMBER - RIGHT);
            let _ = writeln!(
                out,
                r#"<rect x="{NAME}" y="{y:.1}" width="{wide:.1}" height="{:.1}" fill="{}"/>"#,
                BAR - 2.0,
                COLOURS[number % COLOURS.len()]
            );
            let number = if value < 10.0 {
                format!("{value:.2}")
            } else {
                format!("{value:.1}")
            };
            text(&mut out, NAME + wide + 5.0, y + BAR - 4.0, "start", &number);
            y += BAR;
        }
        y += GAP;
    }
    out.push_str("</svg>\n");
    out
}

fn head(title: &str, height: f64) -> String {
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" \
         font-family=\"sans-serif\" font-size=\"12\" role=\"img\">\n\
         <title>{0}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
        escaped(title)
    );
    let _ = writeln!(
        out,
        r##"<text x="8" y="18" font-size="14" font-weight="bold" fill="#222222">{}</text>"##,
        escaped(title)
    );
    out
}

fn grid(out: &mut String, x1: f64, y1: f64, x2: f64, y2: f64) {
    let _ = writeln!(
        out,
        r##"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="#dddddd"/>"##
    );
}

fn square(out: &mut String, x: f64, y: f64, colour: &str) {
    let _ = writeln!(
        out,
        r#"<rect x="{x:.1}" y="{y:.1}" width="10" height="10" fill="{colour}"/>"#
    );
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let _ = writeln!(
        out,
        r##"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" fill="#444444">{}</text>"##,
        escaped(words)
    );
}

/// Words that may stand in a page: a server's reply is somebody else's text.
#[must_use]
pub fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
        out
    })
}

/// A round number at or above `most`, and about five ticks up to it, on a linear axis.
#[must_use]
pub fn linear_ticks(most: f64, word: impl Fn(f64) -> String) -> (f64, Vec<(f64, String)>) {
    let most = if most > 0.0 { most } else { 1.0 };
    let rough = most / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= rough)
        .unwrap_or(power * 10.0);
    let count = (most / step).ceil();
    let ticks = (0..=count as u32).map(|i| {
        let value = f64::from(i) * step;
        (value / (count * step), word(value))
    });
    (count * step, ticks.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_the_top() {
        for (most, expected) in [
            (1.0, 1.0),
            (9.3, 10.0),
            (47.0, 50.0),
            (123_456.0, 150_000.0),
        ] {
            let (top, ticks) = linear_ticks(most, |value| value.to_string());
            assert!(
                (top - expected).abs() < 1e-6 * expected,
                "{most}: {top}, not {expected}"
            );
            assert_eq!(ticks.first().map(|t| t.0), Some(0.0));
            assert!(ticks.last().is_some_and(|t| (t.0 - 1.0).abs() < 1e-9));
            assert!((3..=8).contains(&ticks.len()), "{most}: {}", ticks.len());
        }
        assert_eq!(linear_ticks(0.0, |v| v.to_string()).0, 1.0);
    }

    #[test]
    fn a_curve_has_gaps_where_nothing_is_known() {
        let axis = || Axis {
            label: String::new(),
            ticks: Vec::new(),
        };
        let heights = [f64::NAN, 0.1, 0.2, f64::NAN, f64::NAN, 0.3];
        let curve = Curve {
            name: "c".to_owned(),
            points: heights.map(|y| (0.5, y)).into(),
        };
        let svg = lines("t", &axis(), &axis(), &[curve]);
        assert_eq!(svg.matches("<polyline").count(), 2, "{svg}");
        assert!(!svg.contains("NaN"));
    }

    #[test]
    fn bars_have_a_row_for_each_value_and_none_for_a_gap() {
        let subjects = ["a<b".to_owned(), "c".to_owned()];
        let group = |values| Group {
            name: "g".to_owned(),
            values,
        };
        let svg = bars(
            "t",
            &subjects,
            &[
                group(vec![Some(1.0), None]),
                group(vec![Some(2.0), Some(4.0)]),
            ],
        );
        // One background, two squares of the legend, three bars.
        assert_eq!(svg.matches("<rect").count(), 1 + 2 + 3);
        assert!(svg.contains("a&lt;b") && !svg.contains("a<b"));
    }
}
