//! What the rules need of Markdown: headings with their anchors, and prose without what stands in code.
//! Anchors are made as GitHub makes them, since that is where people click.

use super::File;

/// A heading, and what `#…` leads to it.
pub(super) struct Heading {
    pub(super) title: String,
    pub(super) anchor: String,
}

/// The headings of a document.
pub(super) fn headings(file: &File) -> Vec<Heading> {
    let mut headings: Vec<Heading> = Vec::new();
    for (_, line) in prose(file) {
        let marks = line.len() - line.trim_start_matches('#').len();
        let Some(title) = line[marks..].strip_prefix(' ').filter(|_| (1..=6).contains(&marks)) else {
            continue;
        };
        let title = title.trim().to_owned();
        let base = anchor(&title);
        let is_taken = |anchor: &str| headings.iter().any(|heading| heading.anchor == anchor);
        let numbered = || (1..).map(|number| format!("{base}-{number}")).find(|it| !is_taken(it));
        let anchor = if is_taken(&base) { numbered() } else { None };
        headings.push(Heading {
            title,
            anchor: anchor.unwrap_or(base),
        });
    }
    headings
}

/// Lower case, without marks, with a hyphen for each blank.
fn anchor(title: &str) -> String {
    let kept = title
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    let hyphenated = kept.map(|c| if c == ' ' { '-' } else { c });
    hyphenated.flat_map(char::to_lowercase).collect()
}

/// The lines that are no code block.
pub(super) fn prose(file: &File) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    file.lines().filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    })
}

/// The line with blanks in the place of what stands in backticks.
pub(super) fn without_code(line: &str) -> String {
    let parts = line.split('`').enumerate();
    let blanked = parts.map(|(at, part)| {
        if at % 2 == 0 {
            part.to_owned()
        } else {
            " ".repeat(part.len())
        }
    });
    blanked.collect::<Vec<_>>().join(" ")
}

/// What stands in backticks.
pub(super) fn code_in(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> File {
        File {
            path: "docs/a.md".to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn anchors_are_those_of_github() {
        let document = document(
            "# Invariants, and what holds them\n## `edge.toml` & more\n## MQTT: what is there\n```\n# no heading\n```\n#no heading\n## Twice\n### Twice\n## 对账 (S05)\n",
        );
        let anchors: Vec<String> = headings(&document).into_iter().map(|heading| heading.anchor).collect();
        assert_eq!(
            anchors,
            [
                "invariants-and-what-holds-them",
                "edgetoml--more",
                "mqtt-what-is-there",
                "twice",
                "twice-1",
                "对账-s05"
            ]
        );
    }

    #[test]
    fn code_is_told_from_prose() {
        let document = document("one\n```sh\ntwo\n```\nthree `four` five `six`\n");
        let lines: Vec<usize> = prose(&document).map(|(line, _)| line).collect();
        assert_eq!(lines, [1, 5]);
        let line = "three `four` five `six`";
        assert_eq!(code_in(line).collect::<Vec<_>>(), ["four", "six"]);
        let prose = without_code(line);
        assert_eq!(prose.split_whitespace().collect::<Vec<_>>(), ["three", "five"]);
        assert_eq!(prose.len(), line.len());
    }
}
