//! Numbers for people: short, with a unit.

pub fn short(n: f64) -> String {
    let (n, unit) = match n {
        n if n < 9_999.5 => return format!("{n:.0}"),
        n if n < 999_500.0 => (n / 1e3, "k"),
        n if n < 999_500_000.0 => (n / 1e6, "M"),
        n => (n / 1e9, "G"),
    };
    format!("{n:.*} {unit}", usize::from(n < 100.0))
}

pub fn bytes(n: f64) -> String {
    let mut n = n;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if n < 1000.0 {
            return format!("{n:.*} {unit}", usize::from(unit != "B" && n < 100.0));
        }
        n /= 1024.0;
    }
    format!("{n:.1} TiB")
}

pub fn time(seconds: f64) -> String {
    match seconds {
        s if s.is_infinite() => "over 1 s".to_owned(),
        s if s < 1e-3 => format!("{:.0} µs", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s if s < 60.0 => format!("{s:.1} s"),
        s if s < 3600.0 => format!("{:.0} min {:.0} s", (s / 60.0).floor(), s % 60.0),
        s if s < 86_400.0 => format!("{:.0} h {:.0} min", (s / 3600.0).floor(), s % 3600.0 / 60.0),
        s => format!(
            "{:.0} d {:.0} h",
            (s / 86_400.0).floor(),
            s % 86_400.0 / 3600.0
        ),
    }
}

pub fn percent(part: f64) -> String {
    format!("{:.1} %", 100.0 * part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (n, text) in [
            (0.0, "0"),
            (9999.0, "9999"),
            (12_345.0, "12.3 k"),
            (2e6, "2.0 M"),
        ] {
            assert_eq!(short(n), text);
        }
        for (n, text) in [
            (0.0, "0 B"),
            (999.0, "999 B"),
            (2048.0, "2.0 KiB"),
            (67108864.0, "64.0 MiB"),
        ] {
            assert_eq!(bytes(n), text);
        }
        for (n, text) in [
            (16e-6, "16 µs"),
            (0.25, "250.0 ms"),
            (61.0, "1 min 1 s"),
            (90_000.0, "1 d 1 h"),
        ] {
            assert_eq!(time(n), text);
        }
    }
}
