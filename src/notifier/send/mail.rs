//! Mail, handed to a submission server.

use super::{LIMIT, Outcome, Ready, with_causes};
use crate::notifier::configuration::{Mail, MailSecurity};
use crate::notifier::template::{Markup, Values};
use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::{self, AsyncSmtpTransport};
use lettre::{AsyncTransport, Message, Tokio1Executor};

pub(super) async fn send(mail: &Mail, values: Values, notification: &Ready) -> Outcome {
    let message = match message(mail, &values, notification) {
        Ok(message) => message,
        Err(reason) => return Outcome::Never(reason),
    };
    let transport = match transport(mail) {
        Ok(transport) => transport,
        Err(outcome) => return outcome,
    };
    match transport.send(message).await {
        Ok(response) => {
            let lines: Vec<_> = response.message().collect();
            Outcome::Delivered(format!("{} {}", response.code(), lines.join(" ")))
        }
        Err(error) => failure(&error),
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
    // A line end in it would begin another header.
    let subject: String = subject.split_whitespace().collect::<Vec<_>>().join(" ");
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
        .body(notification.text.clone())
        .map_err(|error| format!("the mail cannot be made: {error}"))
}

fn transport(mail: &Mail) -> Result<AsyncSmtpTransport<Tokio1Executor>, Outcome> {
    let tls = match mail.security {
        MailSecurity::None => Tls::None,
        MailSecurity::StartTls => Tls::Required(tls(mail)?),
        MailSecurity::Tls => Tls::Wrapper(tls(mail)?),
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&mail.host)
        .port(mail.port)
        .tls(tls)
        .timeout(Some(LIMIT));
    if let Some((username, password)) = &mail.login {
        let username = username.read()?.to_string();
        builder = builder.credentials(Credentials::new(username, password.read()?.to_string()));
    }
    Ok(builder.build())
}

fn tls(mail: &Mail) -> Result<TlsParameters, Outcome> {
    let mut builder = TlsParameters::builder(mail.host.clone());
    if let Some(path) = &mail.ca {
        let wrong =
            |reason: String| Outcome::NotConfigured(format!("the CA file {}: {reason}", path.display()));
        let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        let certificate = Certificate::from_pem(&pem).map_err(|error| wrong(error.to_string()))?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build().map_err(|error| Outcome::later(error.to_string()))
}

/// 4xx heals and 5xx does not (RFC 5321, 4.2.1); neither does a server that offers no login or no TLS, but that is
/// for the operator to see and may be a server in the middle of a repair.
fn failure(error: &smtp::Error) -> Outcome {
    let words = with_causes(error.to_string(), error);
    if error.is_permanent() {
        Outcome::Never(words)
    } else {
        Outcome::later(words)
    }
}
