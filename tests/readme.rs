//! The README's comparison of proxies must have the figures of docs/performance.md.

use std::fs;

fn read(path: &str) -> String {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The cells of a table's row: the first line of each, without emphasis.
fn cells(row: &str) -> Vec<&str> {
    let row = row.trim_matches('|').split('|');
    row.map(|cell| cell.split("<br>").next().unwrap_or_default().trim().trim_matches('*')).collect()
}

/// The rows of the table after the heading, without the table's head.
fn table<'a>(text: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let section = text.split(&format!("\n## {heading}\n")).nth(1);
    let section = section.unwrap_or_else(|| panic!("no heading {heading:?}"));
    let rows = section.lines().skip_while(|line| !line.starts_with('|'));
    rows.take_while(|line| line.starts_with('|')).skip(2).map(cells).collect()
}

/// The source of each column of the README: the section and its column.
const COLUMNS: [(&str, usize); 8] = [
    ("How much memory does a WebSocket take?", 1),
    ("What does a gigabyte cost?", 3),
    ("How fast do WebSockets open?", 1),
    ("What does a request to the application cost?", 1),
    ("How long until it answers?", 1),
    ("What do ten reloads do to open WebSockets?", 1),
    ("How long does a stop take, and what becomes of the WebSockets?", 1),
    ("How long does a stop take, and what becomes of the WebSockets?", 5),
];

#[test]
fn the_comparison_has_the_measured_figures() {
    let (readme, performance) = (read("README.md"), read("docs/performance.md"));
    let rows = table(&readme, "Beside other proxies");
    assert_eq!(rows.len(), 7, "{rows:?}");
    for row in rows {
        assert_eq!(row.len(), 1 + COLUMNS.len(), "{row:?}");
        for ((heading, column), figure) in COLUMNS.iter().zip(&row[1..]) {
            let measured = table(&performance, heading);
            let of_peer = measured.iter().find(|measured| measured[0] == row[0]);
            let of_peer = of_peer.unwrap_or_else(|| panic!("{heading} has no {:?}", row[0]));
            assert_eq!(of_peer[*column], *figure, "{}, {heading}", row[0]);
        }
    }
}
