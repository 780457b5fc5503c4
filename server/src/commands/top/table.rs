//! Tables of which not all may fit: how many rows each gets, and which.

use super::screen::{Line, Look};

/// How many rows of each of two tables fit, their headings beside them.
pub fn shares(left: usize, one: usize, other: usize) -> (usize, usize) {
    let Some(rows) = left.checked_sub(2) else {
        return (0, 0);
    };
    if one.saturating_add(other) <= rows {
        return (one, other);
    }
    let of_one = one.min((rows / 2).max(rows.saturating_sub(other)));
    (of_one, other.min(rows - of_one))
}

/// A heading, and rows with their weights: the heaviest are shown where not all can be.
pub struct Table {
    pub heading: String,
    pub rows: Vec<(f64, String)>,
}

impl Table {
    /// The heading and so many rows, in their order.
    pub fn first(&self, count: usize) -> Vec<Line> {
        if count == 0 {
            return Vec::new();
        }
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        order.sort_by(|&one, &other| self.rows[other].0.total_cmp(&self.rows[one].0));
        order.truncate(count);
        order.sort_unstable();
        let shown = order
            .iter()
            .map(|&no| Line::of(Look::Plain, &self.rows[no].1));
        let heading = Line::of(Look::Head, &self.heading);
        std::iter::once(heading).chain(shown).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_share_the_rows() {
        for (left, one, other, shown) in [
            (0, 5, 5, (0, 0)),
            (2, 5, 5, (0, 0)),
            (8, 5, 5, (3, 3)),
            (8, 1, 9, (1, 5)),
            (8, 9, 1, (5, 1)),
            (12, 5, 5, (5, 5)),
            (usize::MAX, 18, 12, (18, 12)),
        ] {
            assert_eq!(
                shares(left, one, other),
                shown,
                "{left} for {one} and {other}"
            );
        }
    }
}
