//! Finds the line of a value in JSON text, for messages: the parser itself forgets where things stood.

use super::problem::Segment;

/// The line, counted from 1, of what `path` names in `text`. If the path ends early, the line of the last
/// thing that is there. `text` has to be valid JSON; in other text the line is some line.
pub(super) fn line_of(text: &str, path: &[Segment]) -> usize {
    let mut cursor = Cursor { text, at: 0 };
    let at = cursor.find(path);
    1 + text.as_bytes()[..at.min(text.len())]
        .iter()
        .filter(|b| **b == b'\n')
        .count()
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl Cursor<'_> {
    /// Walks down `path` and returns the offset of what it names.
    fn find(&mut self, path: &[Segment]) -> usize {
        self.skip_space();
        let mut best = self.at;
        for segment in path {
            let found = match segment {
                Segment::Key(key) => self.enter_member(key),
                Segment::Index(index) => self.enter_element(*index),
            };
            let Some(at) = found else { break };
            best = at;
        }
        best
    }

    /// Goes to the value of the member `key` and returns where the key stands.
    fn enter_member(&mut self, key: &str) -> Option<usize> {
        self.enter(b'{')?;
        while self.peek()? == b'"' {
            let start = self.at;
            self.skip_string();
            // A string may break off behind a backslash.
            let text = self.text.get(start..self.at)?;
            let name: Option<String> = serde_json::from_str(text).ok();
            self.enter(b':')?;
            if name.as_deref() == Some(key) {
                return Some(start);
            }
            self.skip_value();
            self.enter(b',')?;
        }
        None
    }

    /// Goes to element `index` and returns where it stands.
    fn enter_element(&mut self, index: usize) -> Option<usize> {
        self.enter(b'[')?;
        for _ in 0..index {
            self.skip_value();
            self.enter(b',')?;
        }
        Some(self.at)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|b| b.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// Steps over `mark` and the space around it.
    fn enter(&mut self, mark: u8) -> Option<()> {
        self.skip_space();
        (self.peek()? == mark).then(|| self.at += 1)?;
        self.skip_space();
        Some(())
    }

    fn skip_string(&mut self) {
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                return;
            }
        }
    }

    /// Steps over one value, nested or not, up to what separates it from the next.
    fn skip_value(&mut self) {
        let mut depth = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    self.skip_string();
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth == 0 => return,
                b'}' | b']' => depth -= 1,
                b',' if depth == 0 => return,
                _ => {}
            }
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(steps: &[&str]) -> Vec<Segment> {
        let step = |s: &&str| match s.parse() {
            Ok(index) => Segment::Index(index),
            Err(_) => Segment::Key((*s).to_owned()),
        };
        steps.iter().map(step).collect()
    }

    #[test]
    fn values_are_found_behind_nesting_and_escapes() {
        let text = concat!(
            "{\n",                                             // 1
            "  \"a\\\"}\": [ \"]\", {\"x\": \"{\\\\\" } ],\n", // 2
            "  \"caf\\u00e9\": {\n",                           // 3
            "    \"list\": [\n",                               // 4
            "      1,\n",                                      // 5
            "      [[], {}],\n",                               // 6
            "      { \"deep\":\n",                             // 7
            "        true }\n",                                // 8
            "    ]\n",                                         // 9
            "  },\n",                                          // 10
            "  \"last\": null\n",                              // 11
            "}\n",
        );
        let cases: [(&[&str], usize); 10] = [
            (&[], 1),
            (&["a\"}"], 2),
            (&["a\"}", "1", "x"], 2),
            (&["café"], 3),
            (&["café", "list"], 4),
            (&["café", "list", "0"], 5),
            (&["café", "list", "2", "deep"], 7),
            (&["last"], 11),
            (&["café", "missing"], 3),
            (&["café", "list", "9"], 4),
        ];
        for (steps, line) in cases {
            assert_eq!(line_of(text, &path(steps)), line, "{steps:?}");
        }
    }

    #[test]
    fn a_text_that_breaks_off_behind_a_backslash_is_no_reason_to_panic() {
        assert_eq!(line_of("\n{\"\\", &path(&["a"])), 2);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_or_hang(text in "[\\[\\]{}\",:\\\\a1\\n ]{0,64}", index in 0_usize..5) {
            line_of(&text, &[Segment::Key("a".to_owned()), Segment::Index(index)]);
            line_of(&text, &[Segment::Index(index), Segment::Key("a".to_owned())]);
        }
    }
}
