//! Tables in Markdown.

/// A table with a head and rows, each cell in Markdown.
pub fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut text = row(head) + &row(["---"; N]).replace(' ', "");
    rows.for_each(|cells| text += &row(cells.each_ref().map(String::as_str)));
    text
}

fn row<const N: usize>(cells: [&str; N]) -> String {
    let mut text = "|".to_owned();
    for cell in cells {
        text += " ";
        text += &cell.replace('|', "\\|");
        text += if cell.is_empty() { "|" } else { " |" };
    }
    text + "\n"
}

/// Plain text, escaped for Markdown.
pub fn plain(text: &str) -> String {
    text.replace('\\', "\\\\")
}

/// Text as code: a name or a value.
pub fn code(text: &str) -> String {
    let fence = if text.contains('`') { "``" } else { "`" };
    format!("{fence}{text}{fence}")
}

/// Several of them, separated by commas.
pub fn codes(texts: &[&str]) -> String {
    texts.iter().map(|text| code(text)).collect::<Vec<_>>().join(", ")
}
