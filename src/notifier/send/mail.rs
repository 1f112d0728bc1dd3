//! Mail: what a notification looks like as one.

use super::{Outcome, Ready, shorten, smtp};
use crate::notifier::configuration::Mail;
use crate::notifier::template::{Markup, Values};
use lettre::Message;
use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};

/// The longest subject, in UTF-16 units: more than any mail program shows.
const LONGEST_SUBJECT: usize = 150;

pub(super) async fn send(mail: &Mail, values: Values, notification: &Ready) -> Outcome {
    match message(mail, &values, notification) {
        Ok(message) => smtp::send(mail, &message, &notification.job).await,
        Err(reason) => Outcome::Never(reason),
    }
}

/// RFC 3834: no vacation notice answers to it.
#[derive(Debug, Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

fn message(mail: &Mail, values: &Values, notification: &Ready) -> Result<Message, String> {
    let subject = mail
        .subject
        .render(values, Markup::Plain)
        .map_err(|error| format!("subject: {error}"))?;
    // A line end in it would begin another header, and a line of a header has 998 characters at most (RFC 5322, 2.1.1).
    let subject = subject.split_whitespace().collect::<Vec<_>>().join(" ");
    let subject = shorten(&subject.replace(char::is_control, ""), LONGEST_SUBJECT);
    let mut builder = Message::builder()
        .from(mail.from.clone())
        .subject(subject)
        // The same for every attempt: mail programs show a second one only once.
        .message_id(Some(format!("<{}@simrelay>", notification.job.retry_key)))
        .header(AutoSubmitted)
        .header(ContentType::TEXT_PLAIN);
    for recipient in &mail.to {
        builder = builder.to(recipient.clone());
    }
    builder
        .body(body(&notification.text))
        .map_err(|error| format!("the mail cannot be made: {error}"))
}

/// The text with line ends that are all alike, of which lettre makes CRLF, and without what a mail must not have: a CR
/// alone, which some servers take for a line end, and NUL (RFC 5322, 2.3 and 4).
fn body(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    text.replace(|c: char| c.is_control() && c != '\n' && c != '\t', "\u{fffd}")
}
