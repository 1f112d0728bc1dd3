//! Requests, read into messages.

use std::borrow::Cow;

use axum::body::Bytes;
use axum::http::{HeaderMap, header};
use percent_encoding::percent_decode_str;
use serde::Deserialize;

use super::answer::Refusal;
use super::message::LONGEST_MESSAGE;
use super::{Message, Topic};
use crate::printable::Printable;

/// The largest body: every byte of the longest message percent-encoded, and a topic.
pub(super) const LONGEST_BODY: usize = 3 * LONGEST_MESSAGE + 4096;

/// How much is said of what is wrong with a body, in characters.
const SHOWN: usize = 300;

/// What a caller gave, in whatever form.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fields {
    topic: Option<String>,
    message: Option<String>,
    /// Read by the guard; here, so that it is no unknown field.
    #[serde(rename = "key")]
    _key: Option<String>,
}

impl Fields {
    /// The fields of an address or a form: UTF-8, percent-encoded or not.
    pub(super) fn of_form(text: &str) -> Result<Self, Refusal> {
        let mut fields = Self::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "topic" => fields.topic = Some(decoded(value)?),
                "message" => fields.message = Some(decoded(value)?),
                // Browsers and shortcuts add parameters of their own.
                _ => {}
            }
        }
        Ok(fields)
    }

    /// The fields of a body. Without a type it counts as JSON.
    pub(super) fn of_body(headers: &HeaderMap, body: &Bytes) -> Result<Self, Refusal> {
        let media_type = match headers.get(header::CONTENT_TYPE) {
            Some(value) => String::from_utf8_lossy(value.as_bytes()).into_owned(),
            None => "application/json".to_owned(),
        };
        let essence = media_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        // `curl -d '{…}'` calls JSON a form.
        let looks_like_json = body.trim_ascii_start().starts_with(b"{");
        match essence.as_str() {
            "application/x-www-form-urlencoded" if looks_like_json => of_json(body),
            "application/json" => of_json(body),
            "application/x-www-form-urlencoded" => Self::of_form(utf8(body)?),
            "text/plain" => Ok(Self {
                message: Some(utf8(body)?.to_owned()),
                ..Self::default()
            }),
            _ => Err(Refusal::MediaType(media_type)),
        }
    }

    /// These, and where they lack something those of the address.
    pub(super) fn or(self, address: Self) -> Self {
        Self {
            topic: self.topic.or(address.topic),
            message: self.message.or(address.message),
            _key: None,
        }
    }

    /// The message; without a topic it goes to `default`, if there is one.
    pub(super) fn message(self, default: Option<&str>) -> Result<Message, Refusal> {
        let text = self
            .message
            .filter(|text| !text.is_empty())
            .ok_or(Refusal::NoMessage)?;
        if text.len() > LONGEST_MESSAGE {
            return Err(Refusal::TooLong);
        }
        let topic = match (&self.topic, default) {
            (Some(topic), _) => topic.parse::<Topic>()?,
            (None, Some(default)) => default.parse()?,
            (None, None) => return Err(Refusal::NoTopic),
        };
        Ok(Message { topic, text })
    }
}

fn of_json(body: &[u8]) -> Result<Fields, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        // It may quote what the caller sent.
        let error: String = Printable(error).to_string().chars().take(SHOWN).collect();
        Refusal::Body(format!(
            "the body is not {{\"topic\": string, \"message\": string}}: {error}"
        ))
    })
}

/// A value of an address or a form.
pub(super) fn decoded(value: &str) -> Result<String, Refusal> {
    let spaced = value.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded.map(Cow::into_owned).map_err(|_| not_utf8())
}

fn utf8(body: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(body).map_err(|_| not_utf8())
}

fn not_utf8() -> Refusal {
    Refusal::Body("the text is not UTF-8; set the sender's encoding to UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(topic: &str, text: &str) -> Message {
        Message {
            topic: topic.parse().unwrap(),
            text: text.to_owned(),
        }
    }

    fn body(media_type: &str, body: &[u8]) -> Result<Message, Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, media_type.parse().unwrap());
        Fields::of_body(&headers, &Bytes::copy_from_slice(body))?.message(Some("notify/slack"))
    }

    #[test]
    fn an_address_may_hold_japanese_in_any_spelling() {
        for text in [
            "message=お客様 1",
            "message=%E3%81%8A%E5%AE%A2%E6%A7%98%201",
            "x=%FF&message=%e3%81%8a%e5%ae%a2%e6%a7%98+1&&key=abc",
        ] {
            let found = Fields::of_form(text).unwrap().message(Some("notify/slack"));
            assert_eq!(found, Ok(message("notify/slack", "お客様 1")), "{text}");
        }
        let both = Fields::of_form("topic=%E5%80%89%E5%BA%AB/A&message=a%26b%3Dc%2B").unwrap();
        assert_eq!(both.message(None), Ok(message("倉庫/A", "a&b=c+")));
    }

    #[test]
    fn bodies_are_json_forms_or_text() {
        let found = body(
            "application/json; charset=utf-8",
            "{\"message\":\"在庫\"}".as_bytes(),
        );
        assert_eq!(found, Ok(message("notify/slack", "在庫")));
        let found = body(
            "application/x-www-form-urlencoded",
            b"message=%E5%9C%A8%E5%BA%AB&topic=a",
        );
        assert_eq!(found, Ok(message("a", "在庫")));
        let found = body(
            "application/x-www-form-urlencoded",
            b" {\"message\":\"x\",\"topic\":\"a\"}",
        );
        assert_eq!(found, Ok(message("a", "x")));
        let found = body("text/plain", "在庫 & more".as_bytes());
        assert_eq!(found, Ok(message("notify/slack", "在庫 & more")));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let shift_jis = [0x8d, 0xdd, 0x8c, 0xc9];
        let long = format!("{{\"message\":\"{}\"}}", "x".repeat(LONGEST_MESSAGE + 1));
        for (media_type, bytes, word) in [
            (
                "application/json",
                &b"{\"mesage\":\"x\"}"[..],
                "unknown field `mesage`",
            ),
            ("application/json", b"{\"message\":5}", "expected a string"),
            ("application/json", b"{", "line 1 column 1"),
            ("application/json", b"{}", "message is missing"),
            (
                "application/json",
                b"{\"message\":\"\"}",
                "message is missing or empty",
            ),
            ("application/json", long.as_bytes(), "longer than 65536"),
            (
                "application/json",
                b"{\"message\":\"x\",\"topic\":\"a/#\"}",
                "+ or #",
            ),
            ("application/json", b"{\"message\":\"x\",\"topic\":\"\"}", "empty"),
            ("text/plain", &shift_jis, "not UTF-8"),
            (
                "application/x-www-form-urlencoded",
                b"message=%8d%dd",
                "not UTF-8",
            ),
            ("image/png", b"", "image/png"),
        ] {
            let refusal = body(media_type, bytes).unwrap_err().to_string();
            assert!(refusal.contains(word), "{refusal}");
        }
        let fields = Fields::of_form("message=x").unwrap();
        assert_eq!(fields.message(None), Err(Refusal::NoTopic));
    }

    #[test]
    fn what_is_said_of_a_body_holds_no_line_end_and_no_escape_of_the_callers() {
        let hostile = br#"{"a\nFAKE INFO admin logged in \u001b[31mred":1}"#;
        let refusal = body("application/json", hostile).unwrap_err().to_string();
        assert!(refusal.contains("unknown field `a\\nFAKE"), "{refusal}");
        assert!(!refusal.contains(char::is_control), "{refusal:?}");
        let endless = format!("{{\"{}\":1}}", "x".repeat(60_000));
        let refusal = body("application/json", endless.as_bytes()).unwrap_err();
        assert!(refusal.to_string().len() < 500);
    }
}
