//! Logins that are ended, and credentials that are in use.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

/// API key and token of a login.
async fn log_in(api: &Api, key: &Value) -> Value {
    json_of(api.post("/v1/auth", key).await, 200).await
}

async fn with_login(api: &Api, login: &Value) -> Response {
    let text = |name: &str| login[name].as_str().unwrap().to_owned();
    let request = api
        .client
        .get(format!("{}/v1/groups", api.url))
        .header("x-soracom-api-key", text("apiKey"))
        .header("x-soracom-token", text("token"));
    request.send().await.unwrap()
}

#[tokio::test]
async fn revoking_the_tokens_ends_all_logins_and_a_new_one_is_let_in() {
    let api = Api::new().await;
    let of_operator = |rest: &str| format!("/v1/operators/{}/{rest}", api.operator);
    let key = json_of(api.call(&of_operator("auth_keys")).await, 201).await;
    let (one, two) = (log_in(&api, &key).await, log_in(&api, &key).await);
    assert_eq!(with_login(&api, &one).await.status(), StatusCode::OK);
    let other = api.delete("/v1/operators/OP0000000000/tokens").await;
    assert_eq!(refusal(other, StatusCode::NOT_FOUND).await.0, "NoSuchOperator");
    assert_eq!(
        api.delete(&of_operator("tokens")).await.status(),
        StatusCode::NO_CONTENT
    );
    for login in [&one, &two] {
        let refused = refusal(with_login(&api, login).await, StatusCode::UNAUTHORIZED).await;
        assert_eq!(refused.0, "TokenRevoked");
    }
    let three = log_in(&api, &key).await;
    assert_eq!(with_login(&api, &three).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_token_asked_for_before_all_tokens_are_revoked_is_not_made_afterwards() {
    let api = Api::new().await;
    let of_operator = |rest: &str| format!("/v1/operators/{}/{rest}", api.operator);
    let key = json_of(api.call(&of_operator("auth_keys")).await, 201).await;
    let login = log_in(&api, &key).await;
    let mut caller = TcpStream::connect(api.url.strip_prefix("http://").unwrap())
        .await
        .unwrap();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: x\r\nX-Soracom-API-Key: {}\r\nX-Soracom-Token: {}\r\nExpect: 100-continue\r\n\
         Connection: close\r\nContent-Length: 2\r\n\r\n",
        of_operator("token"),
        login["apiKey"].as_str().unwrap(),
        login["token"].as_str().unwrap()
    );
    caller.write_all(head.as_bytes()).await.unwrap();
    // The body is asked for when the token has been taken.
    let asked = b"HTTP/1.1 100 Continue\r\n\r\n";
    let mut answer = vec![0; asked.len()];
    caller.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, asked);
    let revoked = api.delete(&of_operator("tokens")).await;
    assert_eq!(revoked.status(), StatusCode::NO_CONTENT);
    caller.write_all(b"{}").await.unwrap();
    let mut answer = String::new();
    caller.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 401 ") && answer.contains("TokenRevoked"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_credential_in_use_is_deleted_by_force_only_and_no_entry_point_can_name_it_then() {
    let api = Api::new().await;
    let credential = json!({
        "type": "username-password-credentials", "description": "", "credentials": { "username": "u", "password": "p" }
    });
    let naming = json!([{ "key": "mqtt://beam.soracom.io:1883", "value": {
        "destination": "mqtts://b", "useClientCert": true,
        "clientCerts": { "default": { "$credentialsId": "c" } }
    } }]);
    let path = format!("{CONFIGURATION}/SoracomBeam");
    let (code, message) = refusal(api.put(&path, &naming).await, StatusCode::BAD_REQUEST).await;
    assert_eq!(code, "NoSuchCredential");
    assert!(message.contains("POST /v1/credentials/c"), "{message}");
    let group =
        json!({ "configuration": { "SoracomBeam": { "mqtt://beam.soracom.io:1883": naming[0]["value"] } } });
    let (code, _) = refusal(api.post("/v1/groups", &group).await, StatusCode::BAD_REQUEST).await;
    assert_eq!(code, "NoSuchCredential");
    json_of(api.post("/v1/credentials/c", &credential).await, 201).await;
    json_of(api.put(&path, &naming).await, 200).await;
    for not_forced in ["/v1/credentials/c", "/v1/credentials/c?force=false"] {
        let (code, message) = refusal(api.delete(not_forced).await, StatusCode::CONFLICT).await;
        assert_eq!(code, "CredentialInUse");
        assert!(message.contains("group default"), "{message}");
    }
    let (code, _) = refusal(
        api.delete("/v1/credentials/c?force=yes").await,
        StatusCode::BAD_REQUEST,
    )
    .await;
    assert_eq!(code, "InvalidQuery");
    let deleted = api.delete("/v1/credentials/c?force=true").await;
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    assert_eq!(json_of(api.get("/v1/credentials").await, 200).await, json!([]));
}

#[tokio::test]
async fn auth_keys_that_were_broken_by_hand_are_to_be_mended_and_not_asked_for_again() {
    let api = Api::new().await;
    let path = format!("/v1/operators/{}/auth_keys", api.operator);
    let key = json_of(api.call(&path).await, 201).await;
    fs::write(api.folder.path().join("auth-keys.json"), "{").unwrap();
    let one = format!("{path}/{}", key["authKeyId"].as_str().unwrap());
    for refused in [api.call(&path).await, api.delete(&one).await] {
        let (code, message) = refusal(refused, StatusCode::CONFLICT).await;
        assert_eq!(code, "BrokenFile");
        assert!(
            message.contains("auth-keys.json") && message.contains("line 1 column 1"),
            "{message}"
        );
    }
}
