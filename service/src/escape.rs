//! Texts of piles and callers, made fit for a person's screen: what could move the cursor or forge a line is written out.

use std::fmt::{self, Write};

/// A text as a person may see it: control characters, line ends and marks that turn the direction of writing stand as
/// `\u{1b}` and the like; everything else, Chinese among it, as it is.
#[derive(Debug, Clone, Copy)]
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if is_harmful(character) {
                write!(f, "{}", character.escape_default())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

/// The same as a text of its own.
pub fn escaped(text: &str) -> String {
    Escaped(text).to_string()
}

/// Control characters (C0, DEL, C1), line and paragraph separators, and invisible marks that change the order of what
/// stands around them (Unicode TR 36 §3.1).
fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_forge_a_screen_is_written_out() {
        assert_eq!(escaped("\u{1b}[2J\u{1b}[1;1H"), "\\u{1b}[2J\\u{1b}[1;1H");
        assert_eq!(escaped("a\r\nP9  online"), "a\\r\\nP9  online");
        assert_eq!(escaped("\u{9b}2J \u{202e}gnp.exe"), "\\u{9b}2J \\u{202e}gnp.exe");
    }

    #[test]
    fn what_people_write_stays_as_it_is() {
        for text in ["特来电 TELD-7kW", "A/B \\ \"x\" 'y'", "Ü µ €", ""] {
            assert_eq!(escaped(text), text);
        }
    }
}
