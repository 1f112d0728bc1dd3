//! Destinations of `notifications.json`.

use super::field::{one_of, strings, zone};
use super::quiet::quiet_windows;
use super::{Destination, Mail, MailSecurity, Service, Webhook};
use crate::json::{Object, Path, Problem};
use crate::notifier::http_secret::{UnusableSecret, header_of, url, url_of};
use crate::notifier::pace::Pace;
use crate::notifier::quiet_hours::QuietHours;
use crate::notifier::template::{Subject, Template};
use crate::secret::Secret;
use jiff::tz::TimeZone;
use lettre::message::Mailbox;
use serde_json::Value;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What `type` says.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Slack,
    Line,
    Mail,
    Webhook,
    Log,
    Database,
}

const KINDS: [(&str, Kind); 6] = [
    ("slack", Kind::Slack),
    ("line", Kind::Line),
    ("mail", Kind::Mail),
    ("webhook", Kind::Webhook),
    ("log", Kind::Log),
    ("database", Kind::Database),
];
/// Fields that every destination may have.
const ALL: [&str; 7] = [
    "type",
    "perMinute",
    "burst",
    "quietHours",
    "timeZone",
    "timeToLiveHours",
    "mostWaiting",
];
const SECURITIES: [(&str, MailSecurity); 3] = [
    ("tls", MailSecurity::Tls),
    ("starttls", MailSecurity::StartTls),
    ("none", MailSecurity::None),
];
const LINE_API: &str = "https://api.line.me";

pub(super) fn read(
    name: &str,
    value: &Value,
    path: &Path<'_>,
    problems: &mut Vec<Problem>,
    file_zone: &TimeZone,
    notes: &mut Vec<String>,
) -> Option<Destination> {
    let before = problems.len();
    let mut fields = Object::new(value, path, problems)?;
    if !fields.fields.contains_key("type") {
        fields.refuse(
            "type",
            format!(
                "the field is missing; known are {}",
                KINDS.map(|(name, _)| name).join(", ")
            ),
        );
    }
    let kind = one_of(&mut fields, "type", &KINDS)?;
    let service = match kind {
        Kind::Slack => slack(&mut fields),
        Kind::Line => line(&mut fields),
        Kind::Mail => mail(&mut fields).map(Service::Mail),
        Kind::Webhook => webhook(&mut fields).map(Service::Webhook),
        Kind::Log => Some(log(&mut fields)),
        Kind::Database => Some(database(&mut fields)),
    };
    let pace = pace(&mut fields, kind);
    let zone = zone(&mut fields).unwrap_or_else(|| file_zone.clone());
    let windows = fields.member("quietHours", quiet_windows).unwrap_or_default();
    let hours = fields.whole_number("timeToLiveHours", 1..=24 * 90).unwrap_or(24);
    let most_waiting = fields
        .whole_number("mostWaiting", 1..=1_000_000)
        .unwrap_or(10_000);
    if problems.len() > before {
        return None;
    }
    let service = service?;
    if let Some(field) = open_secret(&service) {
        notes.push(format!(
            "destination {name:?} has a secret in the file itself, {field}; {{\"env\": NAME}} or {{\"file\": PATH}} keeps it out"
        ));
    }
    Some(Destination {
        name: name.to_owned(),
        service,
        pace,
        quiet: QuietHours { zone, windows },
        time_to_live: Duration::from_secs(hours * 3600),
        most_waiting,
    })
}

/// The field that holds a secret in the file itself.
fn open_secret(service: &Service) -> Option<String> {
    let inline = |field: &str, secret: &Secret| {
        let is_inline = matches!(secret, Secret::Inline(_));
        is_inline.then(|| field.to_owned())
    };
    match service {
        Service::Slack { webhook_url } => inline("webhookUrl", webhook_url),
        // The target's id is of no use without it.
        Service::Line { token, .. } => inline("channelAccessToken", token),
        Service::Mail(mail) => mail
            .login
            .as_ref()
            .and_then(|(_, password)| inline("password", password)),
        Service::Webhook(webhook) => open_secret_of_webhook(webhook),
        Service::Log { .. } | Service::Database { .. } => None,
    }
}

/// What lets somebody post: a header, or else the URL, if other machines have it.
fn open_secret_of_webhook(webhook: &Webhook) -> Option<String> {
    let mut guarding = webhook
        .headers
        .iter()
        .filter(|(name, _)| is_secret(name))
        .peekable();
    if guarding.peek().is_some() {
        let open = guarding.find(|(_, value)| matches!(value, Secret::Inline(_)))?;
        return Some(format!("headers.{}", open.0));
    }
    match &webhook.url {
        Secret::Inline(url) if !is_on_this_machine(url) => Some("url".to_owned()),
        _ => None,
    }
}

/// Whether a header of this name lets somebody in.
fn is_secret(header: &str) -> bool {
    let name = header.to_ascii_lowercase();
    ["auth", "cookie", "key", "password", "secret", "token"]
        .iter()
        .any(|word| name.contains(word))
}

fn is_on_this_machine(url: &str) -> bool {
    let url = reqwest::Url::parse(url).ok();
    let host = url.as_ref().and_then(|url| url.host_str()).unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn known(fields: &mut Object<'_, '_>, own: &[&str]) {
    fields.refuse_unknown(&[&ALL, own].concat());
}

fn secret(fields: &mut Object<'_, '_>, key: &str) -> Option<Secret> {
    if !fields.fields.contains_key(key) {
        fields.refuse(
            key,
            r#"the field is missing; give {"env": NAME} or {"file": PATH}"#,
        );
    }
    fields.member(key, Secret::parse).flatten()
}

/// A secret that `read` can do with, as far as that is known before it is needed.
fn usable<T>(
    fields: &mut Object<'_, '_>,
    key: &str,
    read: impl Fn(&Secret) -> Result<T, UnusableSecret>,
) -> Option<Secret> {
    let secret = secret(fields, key)?;
    match unusable_now(&secret, read) {
        Some(why) => {
            fields.refuse(key, why);
            None
        }
        None => Some(secret),
    }
}

/// What is wrong with a secret in the file itself; another one may yet be put right where it is.
fn unusable_now<T>(secret: &Secret, read: impl Fn(&Secret) -> Result<T, UnusableSecret>) -> Option<String> {
    let is_inline = matches!(secret, Secret::Inline(_));
    is_inline.then(|| read(secret).err())?.map(|why| why.to_string())
}

fn slack(fields: &mut Object<'_, '_>) -> Option<Service> {
    known(fields, &["webhookUrl"]);
    let webhook_url = usable(fields, "webhookUrl", url_of)?;
    Some(Service::Slack { webhook_url })
}

fn line(fields: &mut Object<'_, '_>) -> Option<Service> {
    known(fields, &["channelAccessToken", "target", "api"]);
    let token = usable(fields, "channelAccessToken", header_of);
    let to = secret(fields, "target");
    let api = fields.string("api").unwrap_or(LINE_API).trim_end_matches('/');
    if url(api).is_none() {
        fields.refuse("api", format!("{api:?} is no URL; leave it out for {LINE_API}"));
    }
    Some(Service::Line {
        token: token?,
        to: to?,
        api: api.to_owned(),
    })
}

fn mail(fields: &mut Object<'_, '_>) -> Option<Mail> {
    let own = [
        "host",
        "port",
        "security",
        "username",
        "password",
        "ca",
        "from",
        "recipients",
        "subject",
    ];
    known(fields, &own);
    let host = fields.required_string("host").map(str::to_owned);
    let security = one_of(fields, "security", &SECURITIES).unwrap_or(MailSecurity::Tls);
    let usual = match security {
        MailSecurity::Tls => 465,
        MailSecurity::StartTls => 587,
        MailSecurity::None => 25,
    };
    let port = fields.whole_number("port", 1..=u16::MAX);
    let from = fields.require("from", address);
    let recipients = strings(fields, "recipients");
    if recipients.is_empty() {
        fields.refuse(
            "recipients",
            "there is no recipient; an example is [\"office@example.com\"]",
        );
    }
    let mut to = Vec::new();
    for recipient in &recipients {
        to.extend(fields.parse_text("recipients", recipient, address));
    }
    let subject = fields.string("subject").unwrap_or("{{ line }}");
    let subject = fields.parse_text("subject", subject, |text| {
        Template::new(text, Subject::Notification)
    });
    let ca = fields.string("ca").map(PathBuf::from);
    Some(Mail {
        host: host?,
        port: port.unwrap_or(usual),
        security,
        login: login(fields, security),
        ca,
        from: from?,
        to,
        subject: subject?,
    })
}

fn login(fields: &mut Object<'_, '_>, security: MailSecurity) -> Option<(Secret, Secret)> {
    match (
        fields.fields.contains_key("username"),
        fields.fields.contains_key("password"),
    ) {
        (false, false) => return None,
        (true, true) if security == MailSecurity::None => {
            fields.refuse(
                "password",
                "without TLS the password could be read on the way; set security to tls or starttls",
            );
        }
        (true, true) => {}
        (true, false) => fields.refuse("password", "there is a username, but no password"),
        (false, true) => fields.refuse("username", "there is a password, but no username"),
    }
    let username = fields.member("username", Secret::parse).flatten();
    let password = fields.member("password", Secret::parse).flatten();
    username.zip(password)
}

fn address(text: &str) -> Result<Mailbox, String> {
    text.parse().map_err(|_| {
        format!("{text:?} is not a mail address; examples are a@example.com and \"Office <a@example.com>\"")
    })
}

fn webhook(fields: &mut Object<'_, '_>) -> Option<Webhook> {
    known(fields, &["url", "headers", "body"]);
    let url = usable(fields, "url", url_of);
    let headers = fields.member("headers", |value, path, problems| {
        let fields = Object::new(value, path, problems).map(|object| object.fields);
        let mut headers = Vec::new();
        for (name, value) in fields.into_iter().flatten() {
            let here = path.key(name);
            if name.parse::<reqwest::header::HeaderName>().is_err() {
                problems.push(here.problem(format!("{name:?} is not the name of a header")));
            }
            let value = Secret::parse(value, &here, problems);
            if let Some(unusable) = value.as_ref().and_then(|value| unusable_now(value, header_of)) {
                problems.push(here.problem(unusable));
            }
            headers.extend(value.map(|value| (name.clone(), value)));
        }
        headers
    });
    let body = fields.parse("body", |text| Template::new(text, Subject::Notification));
    Some(Webhook {
        url: url?,
        headers: headers.unwrap_or_default(),
        body,
    })
}

fn log(fields: &mut Object<'_, '_>) -> Service {
    known(fields, &["file", "mostMegabytes", "keep"]);
    let megabytes: u64 = fields.whole_number("mostMegabytes", 1..=1024).unwrap_or(10);
    Service::Log {
        file: PathBuf::from(fields.string("file").unwrap_or("notifications.log")),
        most_bytes: megabytes * 1_000_000,
        keep: fields.whole_number("keep", 0..=100).unwrap_or(5),
    }
}

fn database(fields: &mut Object<'_, '_>) -> Service {
    known(fields, &["keepDays"]);
    let days = fields.whole_number("keepDays", 1..=3650).unwrap_or(365);
    Service::Database {
        keep: Duration::from_secs(days * 24 * 3600),
    }
}

/// Slack takes one message a second and short bursts; the others are asked to be gentle with.
fn pace(fields: &mut Object<'_, '_>, kind: Kind) -> Option<Pace> {
    let per_minute = fields.whole_number("perMinute", 1..=60_000_u32);
    let burst = fields.whole_number("burst", 1..=1000);
    let usual = match kind {
        Kind::Log | Kind::Database if per_minute.is_none() => return None,
        Kind::Slack => (60, 3),
        Kind::Mail => (60, 10),
        Kind::Line | Kind::Webhook | Kind::Log | Kind::Database => (600, 10),
    };
    Some(Pace {
        per_second: f64::from(per_minute.unwrap_or(usual.0)) / 60.0,
        burst: burst.unwrap_or(usual.1),
    })
}
