//! Callers of the API who do not know the admin token.

use crate::site::*;

const WRONG: &str = "no-token-of-this-server";

/// The code of a call's answer; empty if it was let in.
fn code(http: &Http) -> String {
    let answer = http.get("/v1/groups");
    match answer.status {
        200 => String::new(),
        401 => answer.json()["code"].as_str().unwrap().to_owned(),
        status => panic!("{status}: {answer:?}"),
    }
}

fn counted(relay: &Simrelay, reason: &str) -> u64 {
    let page = relay.http().get("/metrics").body;
    let name = format!("simrelay_api_refused_total{{reason=\"{reason}\"}} ");
    let number = page.lines().find_map(|line| line.strip_prefix(&name));
    number.map_or(0, |number| number.parse().unwrap())
}

/// Guesses until the address has no tries left, and gives how many were looked at.
fn guess(guesser: &Http) -> u64 {
    for looked_at in 0..30 {
        match code(guesser).as_str() {
            "Unauthorized" => {}
            "TooManyWrongAdminTokens" => return looked_at,
            other => panic!("{other:?}"),
        }
    }
    panic!("nobody stops the guesser");
}

#[test]
fn wrong_admin_tokens_are_slowed_down_by_address_logged_and_counted() {
    let relay = Simrelay::to("mqtt://127.0.0.1:9");
    let right = std::fs::read_to_string(relay.folder.path().join("data/admin-token")).unwrap();
    let from = |source: &str, token: &str| Http::new(relay.api(), Some(token)).from(source);
    let looked_at = guess(&from("127.0.0.9", WRONG));
    assert!((10..15).contains(&looked_at), "{looked_at}");
    // It is not looked at either: who tells apart what is right could go on guessing.
    assert_eq!(code(&from("127.0.0.9", right.trim())), "TooManyWrongAdminTokens");
    assert_eq!(code(&from("127.0.0.1", right.trim())), "");
    // An admin who was there first is not locked out by a guesser behind the same address.
    assert_eq!(code(&from("127.0.0.8", right.trim())), "");
    let beside = guess(&from("127.0.0.8", WRONG));
    assert_eq!(code(&from("127.0.0.8", right.trim())), "");
    assert_eq!(counted(&relay, "wrong_admin_token"), looked_at + beside);
    assert_eq!(counted(&relay, "too_many_wrong_admin_tokens"), 3);
    let is = |line: &serde_json::Value| line["event"] == "wrong_admin_token" && line["from"] == "127.0.0.9";
    wait_until("a line of each that was looked at", || {
        (relay.lines(is).len() as u64 == looked_at).then_some(())
    });
    relay.wait_for("word that it is too much", |line| {
        line["message"]
            .as_str()
            .unwrap_or_default()
            .contains("too many wrong admin tokens")
            && line["from"] == "127.0.0.8"
    });
    let log = relay.log_text();
    assert!(!log.contains(WRONG) && !log.contains(right.trim()), "{log}");
}

#[test]
fn whoever_shows_nothing_or_a_login_that_is_none_is_counted() {
    let relay = Simrelay::to("mqtt://127.0.0.1:9");
    let nothing = Http::new(relay.api(), None);
    assert_eq!(code(&nothing), "Unauthorized");
    let login = serde_json::json!({ "apiKey": "api-key", "token": "api-token" });
    assert_eq!(code(&Http::logged_in(relay.api(), &login)), "InvalidToken");
    let key = r#"{"authKeyId": "keyId-0", "authKey": "secret-0"}"#;
    assert_eq!(nothing.call("POST", "/v1/auth", Some(key)).status, 401);
    for reason in ["nothing_shown", "wrong_token", "wrong_auth_key"] {
        assert_eq!(counted(&relay, reason), 1, "{reason}");
    }
}
