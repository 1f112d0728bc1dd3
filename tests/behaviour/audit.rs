//! The audit log: each change through the API with who made it, from where, and what it was.

use crate::site::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const BEAM: &str = "mqtt://beam.soracom.io:1883";
const SECRETS: [&str; 3] = ["s3cret-of-the-broker", "s3cret-of-pubnub", "s3cret-of-another"];

/// What can be called with a method that changes something, and changes nothing.
const NO_CHANGES: [&str; 3] = [
    "POST /v1/sims/{sim_id}/enable_termination",
    "POST /v1/subscribers/{imsi}/enable_termination",
    "POST /v1/stats/beam/operators/{operator_id}/export",
];

/// Calls the API, and reads of each call in the log.
struct Auditor<'a> {
    relay: &'a Simrelay,
    http: Http,
    who: String,
    /// Lines that are accounted for.
    lines: usize,
    /// Methods and paths as in the document.
    called: BTreeSet<String>,
}

fn is_audit(line: &Value) -> bool {
    line["event"] == "audit"
}

impl<'a> Auditor<'a> {
    fn of(relay: &'a Simrelay) -> Self {
        Self {
            relay,
            http: relay.http(),
            who: "admin-token".to_owned(),
            lines: 0,
            called: BTreeSet::new(),
        }
    }

    /// Calls `route`, with `parts` in place of what is variable in its path.
    #[track_caller]
    fn call(&mut self, route: &str, parts: &[&str], body: &Value) -> Value {
        self.called.insert(route.to_owned());
        let (method, path) = route.split_once(' ').unwrap();
        let mut parts = parts.iter();
        let path: Vec<_> = path
            .split('/')
            .map(|part| {
                if part.starts_with('{') {
                    parts.next().unwrap()
                } else {
                    part
                }
            })
            .collect();
        let body = (!body.is_null()).then(|| body.to_string());
        let answer = self.http.call(method, &path.join("/"), body.as_deref());
        assert!((200..300).contains(&answer.status), "{route}: {answer:?}");
        if answer.body.is_empty() {
            Value::Null
        } else {
            answer.json()
        }
    }

    /// The next line is this one, and of the caller.
    #[track_caller]
    fn is(&mut self, message: &str, group: Option<&str>, what: &str) {
        let line = wait_until(&format!("line {message:?} {what:?}"), || {
            self.relay.lines(is_audit).into_iter().nth(self.lines)
        });
        self.lines += 1;
        let found = ["message", "who", "group", "what", "level"].map(|field| line[field].as_str());
        let expected = [
            Some(message),
            Some(self.who.as_str()),
            group,
            Some(what),
            Some("INFO"),
        ];
        assert_eq!(found, expected, "{line}");
        let from = line["from"].as_str().unwrap();
        assert!(from.starts_with("127.0.0.1:"), "{line}");
    }

    /// A call that changes groups or SIMs.
    #[track_caller]
    fn changes(&mut self, route: &str, parts: &[&str], body: &Value, group: Option<&str>, what: &str) {
        self.call(route, parts, body);
        self.is("configuration changed", group, what);
    }
}

/// SIM `n` connects and stays.
fn connected(relay: &Simrelay, broker: &FakeBroker, n: u8) -> (Device, Device) {
    let mut device = relay.device(n);
    device.send(&Connect::new(Version::V311, "c").bytes());
    let (upstream, _) = broker.admit(CONNACK_311);
    device.expect(CONNACK_311);
    let listed = format!("/v1/connections?imsi={}", imsi(n));
    wait_until("connection in the list", || {
        let list = relay.http().get(&listed).json();
        (list.as_array().unwrap().len() == 1).then_some(())
    });
    (device, upstream)
}

fn groups(audit: &mut Auditor<'_>) {
    let made = audit.call("POST /v1/groups", &[], &json!({ "tags": { "name": "new" } }));
    let id = made["groupId"].as_str().unwrap();
    audit.is("configuration changed", Some(id), &format!("group {id}: create"));
    let tags = json!([{ "tagName": "site", "tagValue": "x" }]);
    let value = json!({ "destination": "mqtt://b", "username": "u", "password": SECRETS[0] });
    let put = json!([{ "key": BEAM, "value": value }]);
    let (key, nothing) = (BEAM.replace('/', "%2F"), Value::Null);
    let rows: [(&str, &str, &Value, String); 7] = [
        (
            "PUT /v1/groups/{group_id}/tags",
            "",
            &tags,
            r#"put tags {"site": "x"}"#.into(),
        ),
        (
            "DELETE /v1/groups/{group_id}/tags/{tag_name}",
            "site",
            &nothing,
            r#"delete tag "site""#.into(),
        ),
        (
            "PUT /v1/groups/{group_id}/configuration/{namespace}",
            "SoracomBeam",
            &put,
            format!("put SoracomBeam [{BEAM:?}]"),
        ),
        (
            "DELETE /v1/groups/{group_id}/configuration/{namespace}/{name}",
            "SoracomBeam",
            &nothing,
            format!("delete SoracomBeam {BEAM:?}"),
        ),
        (
            "PUT /v1/groups/{group_id}/configuration/{namespace}",
            "SoracomBeam",
            &put,
            format!("put SoracomBeam [{BEAM:?}]"),
        ),
        (
            "DELETE /v1/groups/{group_id}/configuration/{namespace}",
            "SoracomBeam",
            &nothing,
            "delete SoracomBeam".into(),
        ),
        ("DELETE /v1/groups/{group_id}", "", &nothing, "delete".into()),
    ];
    for (route, part, body, what) in rows {
        let what = format!("group {id}: {what}");
        audit.changes(route, &[id, part, &key], body, Some(id), &what);
    }
}

fn new_sims(audit: &mut Auditor<'_>) {
    let rows = [
        ("POST /v1/sims", 20, ""),
        ("POST /v1/sims/{sim_id}/register", 21, "simId"),
        ("POST /v1/subscribers/{imsi}/register", 22, "imsi"),
    ];
    for (route, n, in_path) in rows {
        let mut body =
            json!({ "simId": sim_id(n), "imsi": imsi(n), "groupId": "g", "addresses": [sim_address(n)] });
        let part = body[in_path].as_str().unwrap_or_default().to_owned();
        body.as_object_mut().unwrap().remove(in_path);
        let address = sim_address(n);
        let what = format!(
            "SIM {}: create with IMSI {}, addresses [{address}]",
            sim_id(n),
            imsi(n)
        );
        audit.changes(route, &[&part], &body, Some("g"), &what);
    }
}

/// SIM `n`, by the name that stands in the path.
fn sim(audit: &mut Auditor<'_>, broker: &FakeBroker, base: &str, id: &str, n: u8) {
    let (sim, lock, address) = (sim_id(n), imei(n), sim_address(n));
    let tags = json!([{ "tagName": "site", "tagValue": "x" }]);
    let rows: [(&str, &str, Value, Option<&str>, String); 13] = [
        (
            "POST",
            "set_imei_lock",
            json!({ "imei": lock }),
            None,
            format!("lock to IMEI {lock}"),
        ),
        (
            "POST",
            "unset_imei_lock",
            Value::Null,
            None,
            "lock to no IMEI".into(),
        ),
        (
            "PUT",
            "imei",
            json!({ "imei": lock }),
            None,
            format!("set IMEI {lock}"),
        ),
        ("PUT", "tags", tags, None, r#"put tags {"site": "x"}"#.into()),
        (
            "DELETE",
            "tags/{tag_name}",
            Value::Null,
            None,
            r#"delete tag "site""#.into(),
        ),
        (
            "PUT",
            "addresses",
            json!([address]),
            None,
            format!("set addresses [{address}]"),
        ),
        ("POST", "deactivate", Value::Null, None, "make inactive".into()),
        ("POST", "suspend", Value::Null, None, "make suspended".into()),
        ("POST", "activate", Value::Null, None, "make active".into()),
        (
            "POST",
            "unset_group",
            Value::Null,
            None,
            "move out of its group".into(),
        ),
        (
            "POST",
            "set_group",
            json!({ "groupId": "g" }),
            Some("g"),
            "move to group g".into(),
        ),
        ("POST", "terminate", Value::Null, None, "make terminated".into()),
        ("DELETE", "", Value::Null, None, "delete".into()),
    ];
    for (method, name, body, group, what) in rows {
        if name == "terminate" {
            let _open = connected(audit.relay, broker, n);
            audit.call(&format!("POST {base}/delete_session"), &[id], &Value::Null);
            audit.is("session deleted", None, &format!("SIM {sim}: close 1"));
            audit.call(&format!("POST {base}/enable_termination"), &[id], &Value::Null);
        }
        let route = format!("{method} {base}/{name}");
        let what = format!("SIM {sim}: {what}");
        audit.changes(route.trim_end_matches('/'), &[id, "site"], &body, group, &what);
    }
}

fn credentials_and_connections(audit: &mut Auditor<'_>, broker: &FakeBroker) {
    let values = |secret: &str| json!({ "type": "pubnub-credentials", "credentials": { "pubKey": secret, "subKey": "sub-c-1" } });
    let of = "/v1/credentials/{credentials_id}";
    audit.call(&format!("POST {of}"), &["c"], &values(SECRETS[1]));
    audit.is("credential made", None, "credential c, pubnub-credentials");
    audit.call(&format!("PUT {of}"), &["c"], &values(SECRETS[2]));
    audit.is("credential changed", None, "credential c, pubnub-credentials");
    audit.call(&format!("DELETE {of}"), &["c"], &Value::Null);
    audit.is("credential deleted", None, "credential c");
    let _open = connected(audit.relay, broker, 1);
    let open = audit
        .http
        .get(&format!("/v1/connections?imsi={}", imsi(1)))
        .json();
    let text = |name: &str| open[0][name].as_str().unwrap().to_owned();
    let (id, address) = (text("id"), text("address"));
    audit.call("DELETE /v1/connections/{id}", &[&id], &Value::Null);
    let what = format!("connection {id} of IMSI {} from {address}", imsi(1));
    audit.is("connection closed", None, &what);
}

/// Gives the secrets that came about.
fn logins(audit: &mut Auditor<'_>, operator: &str) -> Vec<String> {
    let of = "/v1/operators/{operator_id}";
    let key = audit.call(&format!("POST {of}/auth_keys"), &[operator], &Value::Null);
    let key_id = key["authKeyId"].as_str().unwrap();
    audit.is("auth key made", None, key_id);
    let (admin, admins_name) = (audit.relay.http(), audit.who.clone());
    let login = audit.call("POST /v1/auth", &[], &key);
    audit.who = key_id.to_owned();
    audit.is("logged in", None, "for 86400 s");
    audit.http = Http::logged_in(audit.relay.api(), &login);
    let short = json!({ "tokenTimeoutSeconds": 60 });
    let token = audit.call(&format!("POST {of}/token"), &[operator], &short);
    audit.is("token made", None, "for 60 s");
    let tags = json!([{ "tagName": "by", "tagValue": "key" }]);
    audit.changes(
        "PUT /v1/groups/{group_id}/tags",
        &["g"],
        &tags,
        Some("g"),
        r#"group g: put tags {"by": "key"}"#,
    );
    audit.call("POST /v1/auth/logout", &[], &Value::Null);
    audit.is("logged out", None, "this login");
    (audit.http, audit.who) = (admin, admins_name);
    audit.call(
        &format!("DELETE {of}/auth_keys/{{auth_key_id}}"),
        &[operator, key_id],
        &Value::Null,
    );
    audit.is("auth key deleted, with the tokens made with it", None, key_id);
    audit.call(&format!("DELETE {of}/tokens"), &[operator], &Value::Null);
    audit.is("all tokens revoked", None, "all logins");
    let secrets = [
        &key["authKey"],
        &login["apiKey"],
        &login["token"],
        &token["token"],
    ];
    secrets.map(|secret| secret.as_str().unwrap().to_owned()).into()
}

#[test]
fn every_route_that_changes_something_leaves_one_line_without_a_secret() {
    let broker = FakeBroker::listen();
    let config = Configuration::of(&entry_point(&broker.url()));
    let relay = Simrelay::start(&(2..=3).fold(config, |config, n| config.sim(n, Some("g"))));
    let mut audit = Auditor::of(&relay);
    groups(&mut audit);
    new_sims(&mut audit);
    sim(&mut audit, &broker, "/v1/sims/{sim_id}", &sim_id(2), 2);
    sim(&mut audit, &broker, "/v1/subscribers/{imsi}", &imsi(3), 3);
    credentials_and_connections(&mut audit, &broker);
    let operator = audit.http.get("/v1/groups/g").json()["operatorId"]
        .as_str()
        .unwrap()
        .to_owned();
    let export = json!({ "from": 0, "to": 1, "period": "day" });
    audit.call(NO_CHANGES[2], &[&operator], &export);
    let mut secrets = logins(&mut audit, &operator);
    assert_eq!(relay.lines(is_audit).len(), audit.lines);
    secrets.extend(SECRETS.map(str::to_owned));
    let log = relay.log_text();
    for secret in secrets {
        assert!(!log.contains(&secret), "{secret} in {log}");
    }
    // A route that comes to the document has to come to this test.
    let document = audit.http.get("/v1/openapi.json").json();
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().keys().filter(|method| *method != "get");
        methods.map(move |method| format!("{} {path}", method.to_uppercase()))
    });
    assert_eq!(audit.called, operations.collect::<BTreeSet<_>>());
}

#[test]
fn a_refused_change_names_who_tried_what() {
    let relay = Simrelay::to("mqtt://127.0.0.1:9");
    let put = json!([{ "key": BEAM, "value": { "destination": "mqtt://b", "password": [SECRETS[0]] } }]);
    let answer = relay.http().put("/v1/groups/g/configuration/SoracomBeam", &put);
    assert_eq!(answer.status, 400, "{answer:?}");
    let line = relay.wait_for("refusal", |line| {
        line["message"]
            .as_str()
            .unwrap_or_default()
            .starts_with("change refused")
    });
    assert_eq!(
        (&line["who"], &line["level"]),
        (&json!("admin-token"), &json!("WARN"))
    );
    assert_eq!(line["what"], format!("group g: put SoracomBeam [{BEAM:?}]"));
    assert!(!relay.log_text().contains(SECRETS[0]));
}

#[test]
fn the_audit_log_is_there_at_any_level_unless_it_is_switched_off_by_name() {
    // The lines of the start tell the test where it listens.
    for (level, expected) in [
        ("error,simrelay::serve=info", 1),
        ("off,simrelay::serve=info", 1),
        ("info,simrelay::audit=off", 0),
    ] {
        let config = Configuration::of(&entry_point("mqtt://127.0.0.1:9"));
        let mut relay = Simrelay::with(&config, &["--log-level", level]);
        let tags = json!([{ "tagName": "name", "tagValue": "x" }]);
        assert_eq!(relay.http().put("/v1/groups/g/tags", &tags).status, 200);
        relay.signal("TERM");
        relay.wait();
        wait_until("the last line", || relay.log_has_ended().then_some(()));
        assert_eq!(relay.lines(is_audit).len(), expected, "{level}");
    }
}
