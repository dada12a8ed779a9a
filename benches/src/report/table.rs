//! The table for people.

use std::fmt::Write as _;

use super::{Figure, Limit, Reference, Row};
use crate::references::Missing;

const HEAD: [&str; 7] = ["", "case", "library", "reference", "ratio", "target", ""];

/// The rows, in columns as wide as what is in them.
pub(super) fn table(rows: &[Row]) -> String {
    let cells: Vec<[String; 7]> = std::iter::once(HEAD.map(String::from)).chain(rows.iter().map(cells)).collect();
    let width = |n: usize| cells.iter().map(|row| row[n].chars().count()).max().unwrap_or(0);
    let widths: [usize; 7] = core::array::from_fn(width);
    let mut out = String::new();
    for (line, row) in cells.iter().enumerate() {
        for (n, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            let is_number = matches!(n, 2 | 4 | 5);
            let _ = if is_number { write!(out, "{cell:>width$}  ") } else { write!(out, "{cell:width$}  ") };
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
        if line == 0 {
            let _ = writeln!(out, "{}", "-".repeat(widths.iter().sum::<usize>() + 2 * (widths.len() - 1)));
        }
    }
    out
}

fn cells(row: &Row) -> [String; 7] {
    let met = match row.is_met() {
        None => String::new(),
        Some(true) => String::from("met"),
        Some(false) => String::from("NOT MET"),
    };
    let reference = match &row.reference {
        Reference::None => String::new(),
        Reference::Is(name, value) => format!("{name} {}", figure(value)),
        Reference::Missing(name, Missing(what)) => format!("{name}: not here ({what})"),
    };
    let limit = match row.limit {
        Limit::None => String::new(),
        Limit::Ratio(limit) => format!("{limit:.2}"),
        Limit::Value(limit) => figure(&Figure::counted(limit, row.library.unit)),
    };
    let ratio = row.ratio().map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
    [row.target.to_owned(), row.case.clone(), figure(&row.library), reference, ratio, limit, met]
}

fn figure(figure: &Figure) -> String {
    let value = figure.value;
    let digits = if value.abs() >= 1000.0 || value == 0.0 {
        0
    } else if value.abs() < 0.1 {
        4
    } else {
        1
    };
    format!("{value:.digits$} {}", figure.unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ns(value: f64) -> Figure {
        Figure::counted(value, "ns")
    }

    #[test]
    fn a_row_says_whether_its_target_is_met() {
        let rows = [
            Row::new("fast", ns(10.0)).against("floor", ns(5.0)).target("T1", Limit::Ratio(2.0)),
            Row::new("slow", ns(10.1)).against("floor", ns(5.0)).target("T1", Limit::Ratio(2.0)),
            Row::new("alone", ns(10.0)).missing("other", Missing(String::from("libother-dev"))),
            Row::new("big", Figure::counted(161.0, "B")).target("T7", Limit::Value(160.0)),
        ];
        let met: Vec<Option<bool>> = rows.iter().map(Row::is_met).collect();
        assert_eq!(met, [Some(true), Some(false), None, Some(false)]);
        let text = table(&rows);
        assert!(text.contains("T1  fast   10.0 ns  floor 5.0 ns") && text.contains("  2.00     2.00  met\n"), "{text}");
        assert!(text.contains("other: not here (libother-dev)") && text.ends_with("160.0 B  NOT MET\n"), "{text}");
    }
}
