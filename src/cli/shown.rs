//! What an operator is shown of messages that others wrote.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::printable::Printable;

/// The fields of one thing, a line each. Further lines of a value stand below its first one, so that none of them passes
/// for a field.
pub(super) fn fields<const N: usize>(fields: [(&str, String); N]) -> String {
    let field = |(name, value): (&str, String)| {
        let lines: Vec<_> = value.lines().map(|line| Printable(line).to_string()).collect();
        format!("{name:<12} {}", lines.join(&format!("\n{:<13}", "")))
    };
    fields.map(field).join("\n")
}

/// A moment, given in milliseconds since 1970, on the clock of this machine.
pub(super) fn local(milliseconds: i64) -> String {
    let moment = Timestamp::from_millisecond(milliseconds).unwrap_or_default();
    let local = moment.to_zoned_datetime(TimeZone::system());
    local.strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}

/// So many milliseconds, in the unit that says most.
pub(super) fn age(milliseconds: i64) -> String {
    match milliseconds / 1000 {
        seconds @ ..120 => format!("{}s", seconds.max(0)),
        seconds @ ..7_200 => format!("{}m", seconds / 60),
        seconds @ ..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_several_lines_passes_for_no_field_and_commands_no_terminal() {
        let shown = fields([
            ("topic", "a".to_owned()),
            ("text", "one\nstate  delivered\u{1b}[2J\r\nthree".to_owned()),
        ]);
        let expected = "topic        a\n\
                        text         one\n             state  delivered\\u{1b}[2J\n             three";
        assert_eq!(shown, expected);
    }
}
