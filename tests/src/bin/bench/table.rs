//! The one table: what was measured beside its yardstick of the same run, and whether the aim is met.

/// A row.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) measured: String,
    pub(crate) yardstick: String,
    /// Measured to yardstick, where there is one.
    pub(crate) ratio: Option<f64>,
    pub(crate) aim: String,
    pub(crate) met: bool,
}

/// As Markdown, as it stands in `docs/numbers.md`.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let mut lines = vec![[
        "what".to_owned(),
        "measured".to_owned(),
        "yardstick, same run".to_owned(),
        "ratio".to_owned(),
        "aim".to_owned(),
        "met".to_owned(),
    ]];
    lines.extend(rows.iter().map(|row| {
        [
            row.what.clone(),
            row.measured.clone(),
            row.yardstick.clone(),
            row.ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}")),
            row.aim.clone(),
            if row.met { "yes" } else { "**no**" }.to_owned(),
        ]
    }));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    let shown = |line: &[String; 6]| {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}", width = *width))
            .collect();
        format!("| {} |", cells.join(" | "))
    };
    let mut text = shown(&lines[0]);
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    text += &format!("\n| {} |", rule.join(" | "));
    for line in &lines[1..] {
        text += &format!("\n{}", shown(line));
    }
    text
}
