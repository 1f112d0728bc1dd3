//! What operators name by its number: what was done with it, and what of it is not there.

/// What has a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbered {
    /// A notification.
    Notification,
    /// A message that the bridge has set aside.
    Parked,
}

/// Some of what was named is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}there is no {} {}; `simrelay {} list` shows those that are there",
    done.iter().map(|done| format!("{done}; ")).collect::<String>(), thing.name(), listed(numbers), thing.command())]
pub struct NotThere {
    thing: Numbered,
    numbers: Vec<i64>,
    /// What was done with the others.
    done: Option<String>,
}

impl Numbered {
    /// What to say when those with the numbers `done` have become something: all, if none were `named`.
    ///
    /// # Errors
    /// [`NotThere`]: some were named that are not there.
    pub(super) fn became(self, named: &[i64], done: &[i64], what: &str) -> Result<String, NotThere> {
        let said = format!("{} {}(s) {what}", done.len(), self.noun());
        let mut numbers = named.to_vec();
        numbers.retain(|number| !done.contains(number));
        if numbers.is_empty() {
            return Ok(said);
        }
        Err(NotThere {
            thing: self,
            numbers,
            done: (!done.is_empty()).then_some(said),
        })
    }

    /// That there is nothing with this number.
    pub(super) fn missing(self, number: i64) -> NotThere {
        NotThere {
            thing: self,
            numbers: vec![number],
            done: None,
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Notification => "notification",
            Self::Parked => "message",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Notification => "notification",
            Self::Parked => "parked message",
        }
    }

    fn command(self) -> &'static str {
        match self {
            Self::Notification => "notifications",
            Self::Parked => "parked",
        }
    }
}

fn listed(numbers: &[i64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    numbers.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_named_beside_what_was_done_with_the_others() {
        let thrown = |named: &[i64], done: &[i64]| {
            let said = Numbered::Parked.became(named, done, "thrown away");
            said.map_err(|error| error.to_string())
        };
        assert_eq!(thrown(&[], &[1, 2]), Ok("2 message(s) thrown away".to_owned()));
        assert_eq!(thrown(&[], &[]), Ok("0 message(s) thrown away".to_owned()));
        assert_eq!(thrown(&[1, 1], &[1]), Ok("1 message(s) thrown away".to_owned()));
        let list = "`simrelay parked list` shows those that are there";
        assert_eq!(
            thrown(&[7, 8], &[]),
            Err(format!("there is no parked message 7, 8; {list}"))
        );
        assert_eq!(
            thrown(&[1, 9], &[1]),
            Err(format!(
                "1 message(s) thrown away; there is no parked message 9; {list}"
            ))
        );
    }
}
