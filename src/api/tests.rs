use std::fs;
use std::path::PathBuf;

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::*;
use crate::database::Database;
use crate::http_server::HttpServer;
use crate::sessions::Sessions;
use crate::store::FileStore;

const SHIPPED: &str = include_str!("../../entrypoints.json");
const CONFIGURATION: &str = "/v1/groups/default/configuration";
const TOKEN: &str = "a-token-for-the-tests";

mod access;
mod codes;
mod document;
mod groups;
mod live;
mod panics;
mod parameters;
mod sims;

struct Api {
    folder: tempfile::TempDir,
    books: Books,
    history: History,
    operator: String,
    url: String,
    client: reqwest::Client,
}

impl Api {
    async fn with(file: &str) -> Self {
        let (sessions, _) = Sessions::new();
        Self::serving(file, |_, books| {
            Arc::new(Registry::new(1, crate::relay::Limits::of(1024), books, sessions))
        })
        .await
    }

    /// The API over a store of its own, and over the registry that `registry` makes for that store.
    async fn serving(file: &str, registry: impl FnOnce(&Arc<FileStore>, Books) -> Arc<Registry>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("entrypoints.json"), file).unwrap();
        fs::write(AdminToken::path(folder.path()), TOKEN).unwrap();
        let store = Arc::new(FileStore::open(folder.path().join("entrypoints.json")).unwrap());
        let books = Books::new(&Database::open(folder.path()).await.unwrap());
        let credentials = CredentialStore::open(folder.path().join("certs"), folder.path()).unwrap();
        let credentials = Arc::new(credentials);
        let readiness = Readiness::starting(Database::open(folder.path()).await.unwrap());
        readiness.serving();
        let state = ApiState {
            readiness,
            registry: registry(&store, books.clone()),
            references: References::new(Arc::clone(&store) as Arc<dyn Store>, Arc::clone(&credentials)),
            store,
            history: History::new(Database::open(folder.path()).await.unwrap()),
            books: books.clone(),
            credentials,
            auth: Arc::new(Auth::open(folder.path()).unwrap()),
            services: Services::default(),
        };
        let history = state.history.clone();
        let operator = state.auth.operator().id().to_owned();
        // Its client wants one, as the program's main installs it; other tests may have done so.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = HttpServer {
            service: "api",
            tls: None,
            most: std::num::NonZeroUsize::MAX,
            too_slow: too_slow(),
        };
        tokio::spawn(server.serve(listener, router(state), std::future::pending()));
        Self {
            books,
            folder,
            history,
            operator,
            url,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    async fn new() -> Self {
        Self::with(SHIPPED).await
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("entrypoints.json")
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(TOKEN)
    }

    async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    async fn delete(&self, path: &str) -> Response {
        self.request(Method::DELETE, path).send().await.unwrap()
    }

    async fn post(&self, path: &str, body: &Value) -> Response {
        self.request(Method::POST, path).json(body).send().await.unwrap()
    }

    /// A call without a body, as SORACOM's command sends it.
    async fn call(&self, path: &str) -> Response {
        self.request(Method::POST, path).send().await.unwrap()
    }

    async fn put(&self, path: &str, body: &Value) -> Response {
        self.request(Method::PUT, path).json(body).send().await.unwrap()
    }
}

/// The body of an answer with this status.
async fn json_of(response: Response, status: u16) -> Value {
    let (found, url) = (response.status().as_u16(), response.url().clone());
    let text = response.text().await.unwrap();
    assert_eq!(found, status, "{url}: {text}");
    serde_json::from_str(&text).unwrap()
}

/// Code and message of a refusal with this status.
async fn refusal(response: Response, status: StatusCode) -> (String, String) {
    assert_eq!(response.status(), status, "{}", response.url());
    assert_eq!(response.headers()["content-type"], "application/json");
    let body: Value = response.json().await.unwrap();
    let text = |key: &str| body[key].as_str().unwrap().to_owned();
    (text("code"), text("message"))
}

#[tokio::test]
async fn a_group_has_soracoms_shape() {
    let api = Api::new().await;
    let file: Value = serde_json::from_str(SHIPPED).unwrap();
    let expected = json!({
        "groupId": "default", "operatorId": api.operator, "tags": { "name": "default" },
        "configuration": file["groups"][0]["configuration"]
    });
    for path in ["/v1/groups/default", "/v1/groups/default?"] {
        assert_eq!(api.get(path).await.json::<Value>().await.unwrap(), expected);
    }
    assert_eq!(
        api.get("/v1/groups?").await.json::<Value>().await.unwrap(),
        json!([expected])
    );
}

#[tokio::test]
async fn the_list_is_filtered_and_paged() {
    let groups: Vec<Value> = (0..5)
        .map(|n| json!({ "groupId": format!("g{n}"), "tags": { "site": format!("東京 {}", n % 2) } }))
        .collect();
    let api = Api::with(&json!({ "groups": groups }).to_string()).await;
    let cases = [
        ("", "g0 g1 g2 g3 g4", None),
        ("limit=2", "g0 g1", Some("g1")),
        ("limit=2&last_evaluated_key=g1", "g2 g3", Some("g3")),
        ("limit=2&last_evaluated_key=g3", "g4", None),
        ("limit=5", "g0 g1 g2 g3 g4", None),
        ("tag_name=site&tag_value=%E6%9D%B1%E4%BA%AC+1", "g1 g3", None),
        (
            "tag_name=site&tag_value=%E6%9D%B1%E4%BA%AC+1&limit=1",
            "g1",
            Some("g1"),
        ),
        (
            "tag_name=site&tag_value=%E6%9D%B1&tag_value_match_mode=prefix",
            "g0 g1 g2 g3 g4",
            None,
        ),
        ("tag_name=site&tag_value=%E6%9D%B1", "", None),
    ];
    for (query, expected, next) in cases {
        let response = api.get(&format!("/v1/groups?{query}")).await;
        let key = response
            .headers()
            .get("x-soracom-next-key")
            .map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(key.as_deref(), next, "{query}");
        let link = response
            .headers()
            .get("link")
            .map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(link.is_some(), next.is_some());
        if query == "limit=2&last_evaluated_key=g1" {
            assert_eq!(
                link.unwrap(),
                "</v1/groups?limit=2&last_evaluated_key=g3>; rel=next"
            );
        }
        let found: Vec<Value> = response.json().await.unwrap();
        let ids: Vec<&str> = found
            .iter()
            .map(|group| group["groupId"].as_str().unwrap())
            .collect();
        assert_eq!(ids.join(" "), expected, "{query}");
        assert!(found.iter().all(|group| group["tags"]["name"] == ""));
    }
    for query in [
        "limit=0",
        "limit=x",
        "tag_name=a",
        "tag_value=a",
        "tag_name=a&tag_value=b&tag_value_match_mode=c",
        "last_evaluated_key=a/b",
        "limit=1&limit=2",
    ] {
        let (code, _) = refusal(
            api.get(&format!("/v1/groups?{query}")).await,
            StatusCode::BAD_REQUEST,
        )
        .await;
        assert_eq!(code, "InvalidQuery", "{query}");
    }
}

#[tokio::test]
async fn a_put_is_durable_echoed_and_keeps_other_keys() {
    let api = Api::new().await;
    let value =
        json!({ "name": "n", "destination": "mqtts://b/topic", "useClientCredentials": "true", "psk": {} });
    let body = json!([{ "key": "mqtt://beam.soracom.io:1883", "value": value },
                      { "key": "http://beam.soracom.io:8888/a", "value": { "x": 1 } }]);
    let response = api.put(&format!("{CONFIGURATION}/SoracomBeam?"), &body).await;
    assert_eq!(response.status(), StatusCode::OK);
    let group: Value = response.json().await.unwrap();
    assert!(group["lastModifiedTime"].is_i64());
    assert_eq!(
        group["configuration"]["SoracomBeam"]["mqtt://beam.soracom.io:1883"],
        value
    );
    let file: Value = serde_json::from_str(&fs::read_to_string(api.file()).unwrap()).unwrap();
    assert_eq!(file["groups"][0]["configuration"], group["configuration"]);
    let more = api
        .put(
            &format!("{CONFIGURATION}/SoracomAir"),
            &json!([{ "key": "k", "value": null }]),
        )
        .await;
    let group: Value = more.json().await.unwrap();
    assert_eq!(
        group["configuration"]["SoracomBeam"].as_object().unwrap().len(),
        2
    );
    assert_eq!(group["configuration"]["SoracomAir"], json!({ "k": null }));
}

#[tokio::test]
async fn a_refused_put_says_field_value_and_what_is_allowed_and_changes_nothing() {
    let api = Api::new().await;
    let entry = |value: Value| json!([{ "key": "mqtt://beam.soracom.io:1883", "value": value }]);
    let ok = json!({ "destination": "mqtt://b" });
    let cases = [
        (
            "default",
            "SoracomBeam",
            entry(json!({ "destination": "mqtt://b", "enabled": "yes" })),
            400,
            "InvalidConfiguration",
            ".enabled: \"yes\" is not true or false",
        ),
        (
            "default",
            "SoracomBeam",
            json!([{ "key": "mqtt://beam.soracom.io", "value": {} }]),
            400,
            "InvalidConfiguration",
            "this relay serves mqtt://beam.soracom.io:1883",
        ),
        (
            "default",
            "SoracomBean",
            json!([]),
            400,
            "UnknownNamespace",
            "allowed are SoracomAir",
        ),
        (
            "nobody",
            "SoracomBeam",
            entry(ok),
            404,
            "NoSuchGroup",
            "there is no group \"nobody\"",
        ),
        (
            "default",
            "SoracomBeam",
            json!({}),
            400,
            "InvalidBody",
            "line 1 column 0",
        ),
        (
            "default",
            "SoracomBeam",
            json!([{ "key": "k" }]),
            400,
            "InvalidBody",
            "missing field `value`",
        ),
        (
            "default",
            "SoracomBeam",
            json!([{ "key": "k", "value": 1, "valeu": 1 }]),
            400,
            "InvalidBody",
            "`valeu`",
        ),
    ];
    for (group, namespace, body, status, code, message) in cases {
        let response = api
            .put(&format!("/v1/groups/{group}/configuration/{namespace}"), &body)
            .await;
        let found = refusal(response, StatusCode::from_u16(status).unwrap()).await;
        assert!(found.0 == code && found.1.contains(message), "{found:?}");
    }
    assert_eq!(fs::read_to_string(api.file()).unwrap(), SHIPPED);
}

#[tokio::test]
async fn bodies_that_are_no_json_or_have_a_key_twice_are_refused() {
    let api = Api::new().await;
    let send = |kind: Option<&'static str>, body: String| {
        let request = api
            .request(Method::PUT, &format!("{CONFIGURATION}/SoracomAir"))
            .body(body);
        kind.into_iter()
            .fold(request, |request, kind| request.header("content-type", kind))
            .send()
    };
    let broken = send(Some("application/json; charset=utf-8"), "[\n {".to_owned())
        .await
        .unwrap();
    let (code, message) = refusal(broken, StatusCode::BAD_REQUEST).await;
    assert!(
        code == "InvalidBody" && message.contains("line 2 column 2"),
        "{message}"
    );
    let form = send(Some("text/plain"), "[]".to_owned()).await.unwrap();
    assert_eq!(
        refusal(form, StatusCode::UNSUPPORTED_MEDIA_TYPE).await.0,
        "UnsupportedMediaType"
    );
    assert_eq!(
        send(None, "[]".to_owned()).await.unwrap().status(),
        StatusCode::OK
    );
    let list_for_object = send(None, r#"[["k", 1]]"#.to_owned()).await.unwrap();
    let (_, message) = refusal(list_for_object, StatusCode::BAD_REQUEST).await;
    assert!(message.contains("line 1 column 1"), "{message}");
    let twice = r#"[{"key": "k", "value": {"a": "first", "a": "second"}}]"#.to_owned();
    let (code, message) = refusal(send(None, twice).await.unwrap(), StatusCode::BAD_REQUEST).await;
    assert_eq!(code, "InvalidBody");
    assert_eq!(message, "the key \"a\" is there twice at line 1 column 41");
    let login = r#"{"authKeyId": "i", "authKey": "secret-1", "authKey": "secret-2"}"#;
    let request = api.request(Method::POST, "/v1/auth").body(login);
    let (_, message) = refusal(request.send().await.unwrap(), StatusCode::BAD_REQUEST).await;
    assert_eq!(message, "the body has a key twice: line 1 column 51");
    let large = send(None, " ".repeat(BODY_LIMIT + 1)).await.unwrap();
    assert_eq!(
        refusal(large, StatusCode::PAYLOAD_TOO_LARGE).await.0,
        "PayloadTooLarge"
    );
    // Who is not known yet may send less.
    let login = api
        .request(Method::POST, "/v1/auth")
        .body(format!("{{\"authKeyId\": \"{}\"}}", "k".repeat(4096)));
    let (_, message) = refusal(login.send().await.unwrap(), StatusCode::PAYLOAD_TOO_LARGE).await;
    assert_eq!(message, "the body is larger than 4096 bytes");
}

#[tokio::test]
async fn a_field_that_a_login_does_not_have_is_refused_and_those_of_soracoms_clients_are_known() {
    let api = Api::new().await;
    let login = json!({ "authKeyId": "keyId-1", "authKey": "secret-1", "tokenTimeoutSecond": 60 });
    let (code, message) = refusal(api.post("/v1/auth", &login).await, StatusCode::BAD_REQUEST).await;
    assert_eq!(code, "InvalidBody");
    assert_eq!(
        message,
        "\"tokenTimeoutSecond\" is not a known field; did you mean \"tokenTimeoutSeconds\"?"
    );
    let known = json!({ "authKeyId": "keyId-1", "authKey": "secret-1", "tokenTimeoutSeconds": 60, "email": "",
        "password": "", "operatorId": "", "userName": "", "mfaOTPCode": "" });
    let (code, _) = refusal(api.post("/v1/auth", &known).await, StatusCode::UNAUTHORIZED).await;
    assert_eq!(code, "WrongAuthKey");
}

#[tokio::test]
async fn a_configuration_with_a_key_twice_or_nearly_that_of_mqtt_is_refused() {
    let api = Api::new().await;
    let twice = json!([{ "key": "k", "value": 1 }, { "key": "k", "value": 2 }]);
    let path = format!("{CONFIGURATION}/SoracomAir");
    let (code, message) = refusal(api.put(&path, &twice).await, StatusCode::BAD_REQUEST).await;
    assert_eq!(code, "InvalidConfiguration");
    assert_eq!(message, "SoracomAir.k: the key is there twice");
    let near = json!([{ "key": "MQTT://beam.soracom.io:1883", "value": { "destination": "mqtt://b" } }]);
    let path = format!("{CONFIGURATION}/SoracomBeam");
    let (code, message) = refusal(api.put(&path, &near).await, StatusCode::BAD_REQUEST).await;
    assert_eq!(code, "InvalidConfiguration");
    assert!(
        message.contains("did you mean \"mqtt://beam.soracom.io:1883\"?"),
        "{message}"
    );
}

#[tokio::test]
async fn keys_are_deleted_however_their_slashes_are_written() {
    for name in [
        "mqtt:%2F%2Fbeam.soracom.io:1883?",
        "mqtt%3A%2F%2Fbeam.soracom.io%3A1883",
        "mqtt://beam.soracom.io:1883",
    ] {
        let api = Api::new().await;
        let path = format!("{CONFIGURATION}/SoracomBeam/{name}");
        let response = api.delete(&path).await;
        assert_eq!(response.status(), StatusCode::NO_CONTENT, "{name}");
        assert_eq!(response.text().await.unwrap(), "");
        assert_eq!(
            refusal(api.delete(&path).await, StatusCode::NOT_FOUND).await.0,
            "NoSuchKey"
        );
        assert!(
            !fs::read_to_string(api.file())
                .unwrap()
                .contains("beam.soracom.io")
        );
    }
}

#[tokio::test]
async fn a_namespace_is_deleted_once() {
    let api = Api::new().await;
    let path = format!("{CONFIGURATION}/SoracomBeam");
    assert_eq!(api.delete(&path).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(
        refusal(api.delete(&path).await, StatusCode::BAD_REQUEST).await.0,
        "NoSuchNamespace"
    );
    let nobody = api.delete("/v1/groups/nobody/configuration/SoracomBeam").await;
    assert_eq!(refusal(nobody, StatusCode::NOT_FOUND).await.0, "NoSuchGroup");
}

#[tokio::test]
async fn without_the_token_only_health_is_told() {
    let api = Api::new().await;
    for path in ["/healthz", "/readyz"] {
        let response = reqwest::get(format!("{}{path}", api.url)).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
    for path in ["/v1/groups", "/v1/sims/nothing", "/v1/files/exported/x/stats.csv"] {
        for header in [
            "",
            "Bearer",
            "Bearer wrong",
            "Basic a-token-for-the-tests",
            "Bearer a-token-for-the-test",
        ] {
            let request = api
                .client
                .get(format!("{}{path}", api.url))
                .header("authorization", header);
            let response = request.send().await.unwrap();
            assert_eq!(response.headers()["www-authenticate"], "Bearer");
            assert_eq!(
                refusal(response, StatusCode::UNAUTHORIZED).await.0,
                "Unauthorized",
                "{path} {header}"
            );
        }
    }
}

#[tokio::test]
async fn routes_and_methods_that_are_not_there_get_an_error_body_too() {
    let api = Api::new().await;
    for path in [
        "/nothing",
        "/v1",
        "/v1/nothing",
        "/v1/groups/default/configuration",
    ] {
        let without_login = api.client.get(format!("{}{path}", api.url)).send();
        for response in [api.get(path).await, without_login.await.unwrap()] {
            let (code, message) = refusal(response, StatusCode::NOT_FOUND).await;
            assert_eq!(code, "NoSuchRoute", "{path}");
            assert!(
                message.starts_with(&format!("there is nothing at {path}: simrelay")),
                "{message}"
            );
        }
    }
    for path in ["/v1/subscribers/export", "/v1/sims/export?export_mode=sync"] {
        let (code, message) = refusal(api.call(path).await, StatusCode::NOT_FOUND).await;
        assert!(code == "NoSuchRoute" && message.contains("README"), "{message}");
    }
    for path in ["/v1/groups/nobody", "/v1/groups/a%2Fb", "/v1/groups/%E3%82%A2"] {
        assert_eq!(
            refusal(api.get(path).await, StatusCode::NOT_FOUND).await.0,
            "NoSuchGroup",
            "{path}"
        );
    }
    assert_eq!(
        refusal(api.get("/v1/groups/%FF").await, StatusCode::BAD_REQUEST)
            .await
            .0,
        "InvalidPath"
    );
    let response = api.delete("/v1/groups").await;
    assert!(response.headers().contains_key("allow"));
    let allow = response.headers()["allow"].to_str().unwrap().replace(',', " or ");
    let (code, message) = refusal(response, StatusCode::METHOD_NOT_ALLOWED).await;
    assert_eq!(code, "MethodNotAllowed");
    assert_eq!(message, format!("DELETE is not possible here; {allow} is"));
}

#[tokio::test]
async fn a_login_at_a_wrong_endpoint_is_told_what_an_endpoint_is() {
    let api = Api::new().await;
    for path in ["//v1/auth?", "/v1/v1/auth?", "/v1//v1/auth?"] {
        let request = api.client.post(format!("{}{path}", api.url));
        let login = request.json(&json!({ "authKeyId": "keyId-1", "authKey": "secret-1" }));
        let (code, message) = refusal(login.send().await.unwrap(), StatusCode::NOT_FOUND).await;
        assert_eq!(code, "NoSuchRoute");
        assert!(
            message.contains("without /v1 and without a slash at its end"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn a_failed_write_is_told_and_a_broken_hand_edit_is_a_conflict() {
    let api = Api::new().await;
    fs::create_dir(api.folder.path().join(".entrypoints.json.new")).unwrap();
    let path = format!("{CONFIGURATION}/SoracomBeam");
    let (code, message) = refusal(api.delete(&path).await, StatusCode::INTERNAL_SERVER_ERROR).await;
    assert!(
        code == "WriteFailed" && message.contains("Is a directory"),
        "{message}"
    );
    fs::write(api.file(), "{").unwrap();
    assert_eq!(
        refusal(api.delete(&path).await, StatusCode::CONFLICT).await.0,
        "BrokenFile"
    );
    assert_eq!(
        api.get("/v1/groups/default").await.status(),
        StatusCode::OK,
        "the old state runs on"
    );
}

mod usage;
