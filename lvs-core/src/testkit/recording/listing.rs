//! Comparing listings: to the byte where the order is fixed, as sets where the kernel's hash decides.

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

/// An error says what differs, first the recorded text, then ours.
pub(super) type Compared = Result<(), (String, String)>;

fn different(expected: &str, got: &str) -> Compared {
    Err((expected.to_string(), got.to_string()))
}

/// Texts that must be equal.
pub(super) fn same_text(expected: &str, got: &str) -> Compared {
    if expected == got { Ok(()) } else { different(expected, got) }
}

/// `/proc/net/ip_vs_conn` and `ip_vs_conn_sync`: the same lines but for their order, the seconds left within one. Of the `late` ones the kernel
/// may have any.
pub(super) fn same_connections(expected: &str, got: &str, late: &[String]) -> Compared {
    // Protocol, three endpoints of two columns, state, perhaps the origin, seconds; then what an engine keeps.
    let seconds_at = if expected.lines().next().is_some_and(|title| title.contains("Origin")) { 9 } else { 8 };
    compare_rows(expected, got, late, 1, |line| {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        if words.len() <= seconds_at {
            return None;
        }
        let seconds = words.remove(seconds_at).parse().ok()?;
        Some((words.join(" "), seconds))
    })
}

/// `ipvsadm -L -n -c`: the same, with the time left as minutes and seconds in the second column.
pub(super) fn same_connection_listing(expected: &str, got: &str) -> Compared {
    compare_rows(expected, got, &[], 2, |line| {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        let (minutes, seconds) = words.get(1)?.split_once(':')?;
        let left = minutes.parse::<i64>().ok()? * 60 + seconds.parse::<i64>().ok()?;
        words.remove(1);
        Some((words.join(" "), left))
    })
}

fn compare_rows(
    expected: &str,
    got: &str,
    late: &[String],
    headers: usize,
    read: impl Fn(&str) -> Option<(String, i64)>,
) -> Compared {
    let head = |text: &str| text.lines().take(headers).collect::<Vec<_>>().join("\n");
    if head(expected) != head(got) {
        return different(&head(expected), &head(got));
    }
    let rows = |text: &str| {
        let mut rows: Vec<(String, i64)> = text
            .lines()
            .skip(headers)
            .map(|line| read(line).unwrap_or_else(|| (format!("unreadable: {line}"), 0)))
            .collect();
        rows.sort();
        rows
    };
    let (mut expected, got) = (rows(expected), rows(got));
    for line in late {
        let surplus = count(&expected, line) > count(&got, line);
        if let Some(at) = expected.iter().position(|row| row.0 == *line && row.1 == 0).filter(|_| surplus) {
            expected.remove(at);
        }
    }
    let same =
        expected.len() == got.len() && expected.iter().zip(&got).all(|(a, b)| a.0 == b.0 && (a.1 - b.1).abs() <= 1);
    if same {
        return Ok(());
    }
    // Only what the other side has no match for.
    let only = |these: &[(String, i64)], those: &[(String, i64)]| {
        let missing =
            |row: &&(String, i64)| !those.iter().any(|other| other.0 == row.0 && (other.1 - row.1).abs() <= 1);
        let lines: Vec<String> =
            these.iter().filter(missing).map(|(line, seconds)| format!("{line} ({seconds} s left)")).collect();
        format!(
            "{} rows; without match: {}",
            these.len(),
            if lines.is_empty() { "none".into() } else { lines.join("; ") }
        )
    };
    Err((only(&expected, &got), only(&got, &expected)))
}

fn count(rows: &[(String, i64)], line: &str) -> usize {
    rows.iter().filter(|row| row.0 == line).count()
}

/// `/proc/net/ip_vs`, and unsorted listings: the same services, each with its servers in order.
pub(super) fn same_services(expected: &str, got: &str) -> Compared {
    let blocks = |text: &str| {
        let mut blocks: Vec<String> = Vec::new();
        for line in text.lines() {
            match blocks.last_mut() {
                Some(block) if line.starts_with("  ->") => {
                    block.push('\n');
                    block.push_str(line);
                }
                _ => blocks.push(line.to_string()),
            }
        }
        blocks.sort();
        blocks
    };
    if blocks(expected) == blocks(got) { Ok(()) } else { different(expected, got) }
}
