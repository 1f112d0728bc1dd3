//! Text that others chose, made fit to be shown: it ends no line, commands no terminal and reorders nothing.

use std::fmt::{self, Display, Write};

/// Shown with what is not for showing escaped, as in `\n` and `\u{1b}`.
pub(crate) struct Printable<T>(pub(crate) T);

impl<T: Display> Display for Printable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(PrintableWriter(f), "{}", self.0)
    }
}

/// Hands on what is written to it, escaped.
pub(crate) struct PrintableWriter<W>(pub(crate) W);

impl<W: Write> Write for PrintableWriter<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(is_not_for_showing) {
            let (before, from) = rest.split_at(at);
            self.0.write_str(before)?;
            let mut characters = from.chars();
            if let Some(character) = characters.next() {
                write!(self.0, "{}", character.escape_default())?;
            }
            rest = characters.as_str();
        }
        self.0.write_str(rest)
    }
}

/// Control characters, separators of lines and paragraphs, and what turns the direction of writing (Unicode, UAX 9).
fn is_not_for_showing(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_line_commands_a_terminal_or_turns_the_writing_is_escaped_and_nothing_else() {
        let shown = |text: &str| Printable(text).to_string();
        assert_eq!(shown("a\nb\r\u{1b}[31mred"), "a\\nb\\r\\u{1b}[31mred");
        assert_eq!(shown("\u{9b}31m\u{7f}\t\0"), "\\u{9b}31m\\u{7f}\\t\\u{0}");
        assert_eq!(shown("\u{202e}x\u{2028}"), "\\u{202e}x\\u{2028}");
        let good = "倉庫A棚 「5個」 \"a\\b\" {'x'} é 📢";
        assert_eq!(shown(good), good);
    }
}
