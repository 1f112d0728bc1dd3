//! The conversation with a submission server (RFC 5321). lettre's own ends with the first recipient that is refused,
//! and then nobody gets the mail.

use super::{LIMIT, Outcome, with_causes};
use crate::notifier::configuration::{Mail, MailSecurity};
use crate::notifier::queue::Job;
use crate::upstream::TlsCause;
use lettre::address::Envelope;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use lettre::transport::smtp::{Error, response::Response};
use lettre::{Address, Message};
use std::time::Duration;
use tokio::time::timeout;

/// How often a mail is kept back as some recipients are refused for a while only: after eight minutes, longer than
/// greylisting takes, the others wait no longer.
const PATIENCE: u32 = 13;
/// How long the server may take for its goodbye, which changes nothing any more.
const GOODBYE: Duration = Duration::from_secs(2);

/// Hands a mail over.
pub(super) async fn send(mail: &Mail, message: &Message, job: &Job) -> Outcome {
    let mut connection = match connect(mail).await {
        Ok(connection) => connection,
        Err(outcome) => return outcome,
    };
    let outcome = converse(&mut connection, message, job).await;
    let _ = timeout(GOODBYE, connection.quit()).await;
    outcome.unwrap_or_else(|error| failure(&error))
}

async fn connect(mail: &Mail) -> Result<AsyncSmtpConnection, Outcome> {
    let (from_the_start, after_starttls) = match mail.security {
        MailSecurity::None => (None, None),
        MailSecurity::StartTls => (None, Some(tls(mail)?)),
        MailSecurity::Tls => (Some(tls(mail)?), None),
    };
    let credentials = match &mail.login {
        Some((username, password)) => {
            let username = username.read()?.to_string();
            Some(Credentials::new(username, password.read()?.to_string()))
        }
        None => None,
    };
    let (server, hello) = ((mail.host.as_str(), mail.port), ClientId::default());
    let mut connection =
        AsyncSmtpConnection::connect_tokio1(server, Some(LIMIT), &hello, from_the_start, None)
            .await
            .map_err(|error| unreached(mail, &error))?;
    let attempt = async {
        if let Some(tls) = after_starttls {
            connection.starttls(tls, &hello).await?;
        }
        if let Some(credentials) = &credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await?;
        }
        Ok(())
    };
    attempt.await.map_err(|error: Error| failure(&error))?;
    Ok(connection)
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

/// One mail for all recipients, sent once: those who are refused for good do not keep it from the others. If one is
/// refused for a while only, it is kept back for all, as the others would get a second attempt's as well.
async fn converse(
    connection: &mut AsyncSmtpConnection,
    message: &Message,
    job: &Job,
) -> Result<Outcome, Error> {
    let (envelope, content) = (message.envelope(), message.formatted());
    let Some(parameters) = parameters(connection, envelope, &content) else {
        let words = "an address is not ASCII, and the server does not support that (SMTPUTF8)";
        return Ok(Outcome::later(words));
    };
    let sender = envelope.from().cloned();
    connection.command(MailFrom::new(sender, parameters)).await?;
    let refused = refused(connection, envelope.to()).await?;
    let is_for_nobody = refused.len() == envelope.to().len();
    let is_for_a_while = refused.iter().any(|(_, error)| error.is_transient());
    if is_for_a_while && (is_for_nobody || job.attempts < PATIENCE) {
        return Ok(Outcome::later(reasons(&refused)));
    }
    if is_for_nobody {
        return Ok(Outcome::Never(reasons(&refused)));
    }
    connection.command(Data).await?;
    let response = connection.message(&content).await?;
    Ok(Outcome::Delivered(taken(&response, &refused, job)))
}

/// What the server has to know of a mail that is not all ASCII (RFC 6531, RFC 6152); `None` if it cannot take it.
fn parameters(
    connection: &AsyncSmtpConnection,
    envelope: &Envelope,
    content: &[u8],
) -> Option<Vec<MailParameter>> {
    let mut parameters = Vec::new();
    let mut addresses = envelope.from().into_iter().chain(envelope.to());
    if !addresses.all(|address| AsRef::<str>::as_ref(address).is_ascii()) {
        let server = connection.server_info();
        if !server.supports_feature(Extension::SmtpUtfEight) {
            return None;
        }
        parameters.push(MailParameter::SmtpUtfEight);
    }
    if !content.is_ascii() {
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    Some(parameters)
}

/// Names the recipients. Returns those whom the server does not take.
async fn refused<'a>(
    connection: &mut AsyncSmtpConnection,
    recipients: &'a [Address],
) -> Result<Vec<(&'a Address, Error)>, Error> {
    let mut refused = Vec::new();
    for recipient in recipients {
        let named = connection.command(Rcpt::new(recipient.clone(), Vec::new()));
        match named.await {
            Ok(_) => {}
            Err(error) if error.status().is_some() => refused.push((recipient, error)),
            // There was no answer: the connection is gone.
            Err(error) => return Err(error),
        }
    }
    Ok(refused)
}

/// What the server said when it had taken the mail, and who does not get it.
fn taken(response: &Response, refused: &[(&Address, Error)], job: &Job) -> String {
    for (recipient, error) in refused {
        tracing::warn!(
            event = "recipient_refused",
            destination = job.destination,
            id = job.id,
            recipient = %recipient,
            "the server does not take the mail for this recipient, only for the others: {}",
            with_causes(error.to_string(), error)
        );
    }
    let lines: Vec<_> = response.message().collect();
    let words = format!("{} {}", response.code(), lines.join(" "));
    match refused {
        [] => words,
        refused => format!("{words}; not for {}", reasons(refused)),
    }
}

fn reasons(refused: &[(&Address, Error)]) -> String {
    let reason = |(recipient, error): &(&Address, Error)| {
        format!("{recipient}: {}", with_causes(error.to_string(), error))
    };
    refused.iter().map(reason).collect::<Vec<_>>().join("; ")
}

/// No server was met, or none that speaks as it was expected to.
fn unreached(mail: &Mail, error: &Error) -> Outcome {
    if error.status().is_some() {
        return failure(error);
    }
    let advice = match (mail.security, tls_cause(error)) {
        (MailSecurity::Tls, Some(TlsCause::NotTls)) => {
            "; it does not speak TLS on that port: set security to starttls, whose port is 587"
        }
        (_, Some(_)) => "",
        (MailSecurity::Tls, None) => "; check host and port of the destination, and firewalls on the way",
        (MailSecurity::StartTls | MailSecurity::None, None) => {
            "; check host and port of the destination, firewalls on the way, and whether the port wants TLS from the start (security tls, port 465)"
        }
    };
    let words = with_causes(error.to_string(), error);
    Outcome::later(format!(
        "the mail server {}:{} is not reached: {words}{advice}",
        mail.host, mail.port
    ))
}

/// What a failure of TLS comes from; `None` for an error of another kind.
fn tls_cause(error: &dyn std::error::Error) -> Option<TlsCause> {
    let causes = std::iter::successors(error.source(), |error| error.source());
    let sockets = causes.filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    sockets.filter_map(TlsCause::of_connection).next()
}

/// 4xx heals and 5xx does not (RFC 5321, 4.2.1); neither does a server that offers no login or no TLS, but that is
/// for the operator to see and may be a server in the middle of a repair.
fn failure(error: &Error) -> Outcome {
    let words = with_causes(error.to_string(), error);
    if error.is_permanent() {
        Outcome::Never(words)
    } else {
        Outcome::later(words)
    }
}
