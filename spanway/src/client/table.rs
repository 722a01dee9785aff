//! Text in columns.

/// A column's cells are numbers, and stand to the right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Rows as aligned columns under their heads, without blanks at the ends of lines.
pub(crate) fn aligned(heads: &[(&str, Align)], rows: &[Vec<String>]) -> String {
    let widest = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| width(cell)).max().unwrap_or(0);
    let columns: Vec<(usize, Align)> =
        heads.iter().enumerate().map(|(at, (head, align))| (widest(at).max(width(head)), *align)).collect();
    let mut text = line(&columns, heads.iter().map(|(head, _)| *head));
    for row in rows {
        text.push_str(&line(&columns, row.iter().map(String::as_str)));
    }
    text
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn line<'a>(columns: &[(usize, Align)], cells: impl Iterator<Item = &'a str>) -> String {
    let mut line = String::new();
    for (at, (cell, (wanted, align))) in cells.zip(columns).enumerate() {
        let blanks = " ".repeat(wanted.saturating_sub(width(cell)));
        if at > 0 {
            line.push_str("  ");
        }
        match align {
            Align::Left => line.push_str(&format!("{cell}{blanks}")),
            Align::Right => line.push_str(&format!("{blanks}{cell}")),
        }
    }
    format!("{}\n", line.trim_end())
}

/// Text from elsewhere that can do no harm in a terminal, and is seen even if there is none.
pub(crate) fn shown(text: &str) -> String {
    if text.is_empty() {
        return "-".to_owned();
    }
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}

/// A time in seconds: `5s`, `3m12s`, `2h05m`, `7d03h`.
pub(crate) fn duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (0, _, _) => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let heads = [("name", Align::Left), ("n", Align::Right), ("x", Align::Left)];
        let rows = [vec!["a".into(), "10".into(), String::new()], vec!["löng-er".into(), "5".into(), "y".into()]];
        assert_eq!(aligned(&heads, &rows), "name      n  x\na        10\nlöng-er   5  y\n");
        assert_eq!(aligned(&heads, &[]), "name  n  x\n");
    }

    #[test]
    fn terminals_are_safe() {
        assert_eq!(shown("\u{1b}[31mé\n"), "\\u{1b}[31mé\\n");
        assert_eq!(shown(""), "-");
    }

    #[test]
    fn times_are_short() {
        let texts = [0, 59, 60, 3_599, 3_600, 86_399, 86_400, 1_000_000].map(duration);
        assert_eq!(texts, ["0s", "59s", "1m00s", "59m59s", "1h00m", "23h59m", "1d00h", "11d13h"]);
    }
}
