use super::*;
use crate::notifier::FIRST_RUN;
use serde_json::{Value, json};

fn problems(file: &Value) -> Vec<String> {
    match parse(file) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

fn with_destination(destination: &Value) -> Value {
    json!({ "destinations": { "d": destination } })
}

fn with_route(route: &Value) -> Value {
    json!({ "destinations": { "slack": { "type": "slack", "webhookUrl": { "env": "X" } } }, "routes": [route] })
}

#[test]
fn the_file_of_a_first_run_holds_the_routes_of_the_article() {
    let file = serde_json::from_str(FIRST_RUN).unwrap();
    let parsed = parse(&file).unwrap();
    assert!(parsed.notes.is_empty(), "{:?}", parsed.notes);
    let topics: Vec<_> = parsed
        .notifications
        .subscriptions()
        .into_keys()
        .map(|f| f.to_string())
        .collect();
    for topic in [
        "notify/slack",
        "stock/low",
        "batch/success",
        "batch/error",
        "reception/call",
        "health/check",
    ] {
        assert!(topics.contains(&topic.to_owned()), "{topic}: {topics:?}");
    }
    let urgent = |name: &str| {
        parsed
            .notifications
            .routes
            .iter()
            .any(|route| route.name == name && route.urgent)
    };
    assert!(urgent("batch error") && !urgent("batch success"));
}

#[test]
fn an_empty_file_is_one_that_tells_nobody_anything() {
    assert!(problems(&json!({})).is_empty());
}

#[test]
fn what_is_wrong_with_a_route_is_said_with_its_place_and_what_to_do() {
    let cases = [
        (
            json!({ "topic": "a", "to": "slack" }),
            "routes[0].topic: is not a known field; did you mean \"topics\"?",
        ),
        (
            json!({ "topics": [], "to": "slack" }),
            "routes[0].topics: there is no topic",
        ),
        (json!({ "topics": "a/#/b", "to": "slack" }), "\"a/#/b\""),
        (
            json!({ "topics": "a", "to": "slck" }),
            "routes[0].to: \"slck\" is not a known destination; did you mean \"slack\"?",
        ),
        (
            json!({ "topics": "a" }),
            "there is no destination; known are slack",
        ),
        (
            json!({ "topics": "a", "to": "slack", "template": "{{ mesage }}" }),
            "did you mean \"message\"?",
        ),
        (
            json!({ "topics": "a", "to": "slack", "urgent": "yes" }),
            "\"yes\" is not true or false",
        ),
        (
            json!({ "topics": "a", "to": "slack", "collapse": { "seconds": 0 } }),
            "routes[0].collapse.seconds: 0 is not",
        ),
        (
            json!({ "topics": "a", "to": "slack", "collapse": { "seconds": 1, "by": "x" } }),
            "known are message, topic",
        ),
        (
            json!({ "topics": "a", "to": "slack", "template": " \n" }),
            "routes[0].template: the template is empty; leave it out",
        ),
        (json!(7), "routes[0]: 7 is not an object"),
    ];
    for (route, words) in cases {
        let said = problems(&with_route(&route)).join("\n");
        assert!(said.contains(words), "{words}: {said}");
    }
    let twice = json!({ "topics": "a", "to": "slack" });
    let mut file = with_route(&twice);
    file["routes"] = json!([twice, twice]);
    assert!(problems(&file)[0].contains("given twice"));
}

#[test]
fn what_is_wrong_with_a_destination_is_said_and_no_secret_is_quoted() {
    let mail = |more: &Value| {
        let mut mail =
            json!({ "type": "mail", "host": "h", "from": "a@example.com", "recipients": ["b@example.com"] });
        for (key, value) in more.as_object().unwrap() {
            mail[key] = value.clone();
        }
        mail
    };
    let cases = [
        (
            json!({ "type": "slak" }),
            "destinations.d.type: \"slak\" is not a known value; did you mean \"slack\"?",
        ),
        (json!({}), "known are slack, line, mail, webhook, log, database"),
        (
            json!({ "type": "slack" }),
            "destinations.d.webhookUrl: the field is missing",
        ),
        (
            json!({ "type": "slack", "webhookUrl": 12345 }),
            "a secret is {\"env\": NAME}",
        ),
        (
            json!({ "type": "line", "channelAccessToken": "t" }),
            "destinations.d.target: the field is missing",
        ),
        (
            mail(&json!({ "from": "nobody" })),
            "\"nobody\" is not a mail address",
        ),
        (
            mail(&json!({ "username": "u" })),
            "there is a username, but no password",
        ),
        (
            mail(&json!({ "username": "u", "password": "p", "security": "none" })),
            "could be read on the way",
        ),
        (
            mail(&json!({ "subject": "{{ message }}" })),
            "\"message\" in the template",
        ),
        (
            json!({ "type": "webhook", "url": "u", "headers": { "a b": "x" } }),
            "\"a b\" is not the name of a header",
        ),
        (
            json!({ "type": "slack", "webhookUrl": "hooks.example/12345" }),
            "destinations.d.webhookUrl: the field holds no URL (https://…)",
        ),
        (
            json!({ "type": "webhook", "url": "$URL_12345" }),
            "destinations.d.url: the field holds no URL (https://…)",
        ),
        (
            json!({ "type": "webhook", "url": "https://h", "headers": { "X-Key": "12345\n" } }),
            "destinations.d.headers[\"X-Key\"]: the field holds a line end",
        ),
        (
            json!({ "type": "line", "channelAccessToken": "12345\r\n", "target": "U" }),
            "destinations.d.channelAccessToken: the field holds a line end",
        ),
        (
            json!({ "type": "line", "channelAccessToken": "t", "target": "U", "api": "api.line.me" }),
            "destinations.d.api: \"api.line.me\" is no URL",
        ),
        (
            json!({ "type": "log", "webhookUrl": "x" }),
            "webhookUrl: is not a known field",
        ),
        (
            json!({ "type": "log", "timeZone": "Asia/Tokio" }),
            "\"Asia/Tokio\" is not a time zone",
        ),
        (
            json!({ "type": "log", "quietHours": [{ "from": "25:00", "to": "7:00" }] }),
            "\"25:00\" is not a time",
        ),
        (
            json!({ "type": "log", "quietHours": [{ "days": ["mon"], "from": "24:00", "to": "07:00" }] }),
            "quietHours[0].from: \"24:00\" is the end of a day: write \"00:00\", and in days the day that begins then",
        ),
        (
            json!({ "type": "log", "quietHours": [{ "from": "22:00", "to": "7:00" }] }),
            "\"7:00\" is not a time",
        ),
        (
            json!({ "type": "log", "quietHours": [{ "days": ["monday"], "from": "22:00", "to": "07:00" }] }),
            "days are mon",
        ),
        (
            json!({ "type": "log", "timeToLiveHours": 0 }),
            "0 is not a whole number from 1",
        ),
    ];
    for (destination, words) in cases {
        let said = problems(&with_destination(&destination)).join("\n");
        assert!(said.contains(words), "{words}: {said}");
        assert!(!said.contains("12345"), "{said}");
    }
    // The destination is wrong, but it is there.
    let mut file = with_destination(&json!({ "type": "slack" }));
    file["routes"] = json!([{ "topics": "a", "to": "d" }]);
    assert_eq!(problems(&file).len(), 1, "{:?}", problems(&file));
}

#[test]
fn a_secret_in_the_file_is_allowed_and_noted() {
    let parsed = parse(&with_destination(
        &json!({ "type": "slack", "webhookUrl": "https://x" }),
    ))
    .unwrap();
    assert!(
        parsed.notes[0].contains("\"d\"") && !parsed.notes[0].contains("https://x"),
        "{:?}",
        parsed.notes
    );
    assert!(!format!("{parsed:?}").contains("https://x"));
}

#[test]
fn of_a_webhook_what_lets_somebody_post_is_noted_by_its_field() {
    let (open, kept) = (json!("q7Zk"), json!({ "env": "X" }));
    let abroad = "https://hooks.example/q7Zk";
    for (url, headers, field) in [
        (json!(abroad), json!({}), Some("url")),
        (kept.clone(), json!({}), None),
        (json!("http://127.0.0.1:1880/in"), json!({}), None),
        (json!("http://localhost/in"), json!({}), None),
        (
            json!(abroad),
            json!({ "Authorization": open }),
            Some("headers.Authorization"),
        ),
        (
            kept,
            json!({ "Accept": "text/plain", "X-Api-Key": open }),
            Some("headers.X-Api-Key"),
        ),
        (json!(abroad), json!({ "Authorization": { "env": "X" } }), None),
    ] {
        let webhook = json!({ "type": "webhook", "url": url, "headers": headers });
        let notes = parse(&with_destination(&webhook)).unwrap().notes;
        let told = notes.first().map(String::as_str).unwrap_or_default();
        let expected = field.map(|field| format!("in the file itself, {field};"));
        assert_eq!(notes.len(), usize::from(field.is_some()), "{webhook}: {notes:?}");
        assert!(told.contains(&expected.unwrap_or_default()), "{webhook}: {told}");
        assert!(!told.contains("q7Zk"), "{told}");
    }
}

#[test]
fn usual_values_are_those_of_the_services() {
    let parsed = parse(&json!({
        "timeZone": "Asia/Tokyo",
        "destinations": {
            "slack": { "type": "slack", "webhookUrl": { "env": "X" } },
            "mail": { "type": "mail", "host": "h", "security": "starttls", "from": "a@example.com",
                      "recipients": "Büro <b@example.com>", "quietHours": [{ "from": "00:00", "to": "24:00" }] },
            "log": { "type": "log" },
        },
    }))
    .unwrap();
    let destinations = parsed.notifications.destinations;
    let slack = destinations["slack"].pace.unwrap();
    assert_eq!((slack.per_second, slack.burst), (1.0, 3));
    let Service::Mail(mail) = &destinations["mail"].service else {
        panic!()
    };
    assert_eq!((mail.port, mail.security), (587, MailSecurity::StartTls));
    assert!(destinations["log"].pace.is_none());
    assert!(
        destinations["mail"].quiet.until(jiff::Timestamp::now()).is_some(),
        "quiet all day"
    );
}
