use super::*;

#[tokio::test]
async fn a_group_is_created_tagged_and_deleted() {
    let api = Api::new().await;
    let beam = json!({ "mqtt://beam.soracom.io:1883": { "destination": "mqtt://b" } });
    let body = json!({ "configuration": { "SoracomBeam": beam, "SoracomAir": { "metadata": { "enabled": true } } },
                       "tags": { "name": "工場", "site": "a" } });
    let group = json_of(api.post("/v1/groups?", &body).await, 201).await;
    assert_eq!(group["configuration"], body["configuration"]);
    assert_eq!(group["tags"], body["tags"]);
    assert!(group["createdTime"].is_i64() && group["lastModifiedTime"].is_i64());
    let id = group["groupId"].as_str().unwrap();
    assert_eq!(uuid::Uuid::parse_str(id).unwrap().get_version_num(), 4);
    let path = format!("/v1/groups/{id}");
    assert_eq!(json_of(api.get(&path).await, 200).await, group);

    let put = json!([{ "tagName": "a/b c", "tagValue": "1" }, { "tagName": "site", "tagValue": "b" }]);
    let tagged = json_of(api.put(&format!("{path}/tags"), &put).await, 200).await;
    assert_eq!(
        tagged["tags"],
        json!({ "name": "工場", "site": "b", "a/b c": "1" })
    );
    let tag = format!("{path}/tags/a%2Fb%20c?");
    assert_eq!(api.delete(&tag).await.status(), StatusCode::NO_CONTENT);
    let (code, message) = refusal(api.delete(&tag).await, StatusCode::NOT_FOUND).await;
    assert_eq!(code, "NoSuchTag");
    assert_eq!(message, format!("group {id:?} has no tag \"a/b c\""));
    assert_eq!(
        api.delete(&format!("{path}/tags/name")).await.status(),
        StatusCode::NO_CONTENT
    );
    let unnamed = json_of(api.get(&path).await, 200).await;
    assert_eq!(unnamed["tags"], json!({ "name": "", "site": "b" }));

    assert_eq!(api.delete(&path).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(
        refusal(api.delete(&path).await, StatusCode::NOT_FOUND).await.0,
        "NoSuchGroup"
    );
    let empty = json_of(api.post("/v1/groups", &json!({})).await, 201).await;
    assert_eq!(
        (&empty["configuration"], &empty["tags"]),
        (&json!({}), &json!({ "name": "" }))
    );
    let nulls = json!({ "configuration": null, "tags": null });
    let empty = json_of(api.post("/v1/groups", &nulls).await, 201).await;
    assert_eq!(
        (&empty["configuration"], &empty["tags"]),
        (&json!({}), &json!({ "name": "" }))
    );
}

#[tokio::test]
async fn a_group_that_is_not_valid_is_not_created() {
    let api = Api::new().await;
    let beam = |value: Value| json!({ "configuration": { "SoracomBeam": { "mqtt://beam.soracom.io:1883": value } } });
    for (body, code, message) in [
        (
            json!({ "configuration": { "SoracomBean": {} } }),
            "UnknownNamespace",
            "allowed are",
        ),
        (
            json!({ "configuration": { "SoracomAir": 1 } }),
            "InvalidConfiguration",
            "SoracomAir: ",
        ),
        (
            beam(json!({ "destination": 1 })),
            "InvalidConfiguration",
            ".destination: 1 is not",
        ),
        (
            json!({ "tags": { "name": 1 } }),
            "InvalidBody",
            "expected a string",
        ),
        (
            json!({ "tags": [["name", "x"]] }),
            "InvalidBody",
            "expected a map",
        ),
        (
            json!({ "configuration": [] }),
            "InvalidBody",
            "expected an object",
        ),
        (json!({ "name": "x" }), "InvalidBody", "`name`"),
    ] {
        let found = refusal(api.post("/v1/groups", &body).await, StatusCode::BAD_REQUEST).await;
        assert!(found.0 == code && found.1.contains(message), "{found:?}");
    }
    assert_eq!(fs::read_to_string(api.file()).unwrap(), SHIPPED);
}

#[tokio::test]
async fn a_group_with_sims_is_not_deleted_and_its_sims_are_listed() {
    let sims: Vec<Value> = (0..5)
        .map(|n| {
            json!({ "simId": format!("89811{n:014}"), "imsi": format!("44010{:010}", 9 - n),
                         "groupId": if n == 2 { "b" } else { "a" } })
        })
        .collect();
    let file = json!({ "groups": [{ "groupId": "a" }, { "groupId": "b" }], "sims": sims });
    let api = Api::with(&file.to_string()).await;
    let (code, message) = refusal(api.delete("/v1/groups/a").await, StatusCode::CONFLICT).await;
    assert!(
        code == "GroupInUse"
            && message.contains("has 4 SIM(s)")
            && message.contains("soracom sims set-group"),
        "{message}"
    );
    let mut seen = Vec::new();
    let mut path = "/v1/groups/a/subscribers?limit=3".to_owned();
    loop {
        let response = api.get(&path).await;
        let next = response.headers().get("x-soracom-next-key").cloned();
        for sim in json_of(response, 200).await.as_array().unwrap() {
            assert!(sim.get("imsi").is_none() && sim["groupId"] == "a");
            let profiles = sim["profiles"].as_object().unwrap();
            seen.push(
                profiles.values().next().unwrap()["primaryImsi"]
                    .as_str()
                    .unwrap()
                    .to_owned(),
            );
        }
        let Some(next) = next else { break };
        path = format!(
            "/v1/groups/a/subscribers?limit=3&last_evaluated_key={}",
            next.to_str().unwrap()
        );
    }
    assert_eq!(seen, [5, 6, 8, 9].map(|n| format!("44010{n:010}")));
    assert_eq!(
        api.get("/v1/groups/q/subscribers").await.status(),
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn of_two_admins_at_once_none_loses_a_change() {
    let api = Arc::new(Api::new().await);
    let puts = (0..30).map(|n| {
        let api = Arc::clone(&api);
        tokio::spawn(async move {
            let body = json!([{ "key": format!("k{n}"), "value": n }]);
            api.put(&format!("{CONFIGURATION}/SoracomAir"), &body)
                .await
                .status()
        })
    });
    for put in puts.collect::<Vec<_>>() {
        assert_eq!(put.await.unwrap(), StatusCode::OK);
    }
    let group = json_of(api.get("/v1/groups/default").await, 200).await;
    assert_eq!(
        group["configuration"]["SoracomAir"].as_object().unwrap().len(),
        30
    );
    let file: Value = serde_json::from_str(&fs::read_to_string(api.file()).unwrap()).unwrap();
    assert_eq!(file["groups"][0]["configuration"], group["configuration"]);
}

#[tokio::test]
async fn a_value_that_is_accepted_can_be_read_at_the_next_start() {
    let api = Api::new().await;
    let path = format!("{CONFIGURATION}/SoracomAir");
    let nested = |levels| (0..levels).fold(json!(1), |inner, _| json!([inner]));
    for levels in [33, 120, 124] {
        let put = api
            .put(&path, &json!([{ "key": "k", "value": nested(levels) }]))
            .await;
        let (code, message) = refusal(put, StatusCode::BAD_REQUEST).await;
        assert_eq!(code, "InvalidConfiguration");
        assert_eq!(
            message,
            "SoracomAir.k: the value is nested more than 32 levels deep"
        );
        let group = json!({ "configuration": { "SoracomAir": { "k": nested(levels) } } });
        let made = api.post("/v1/groups", &group).await;
        assert_eq!(made.status(), StatusCode::BAD_REQUEST);
    }
    // A key by which serde_json would take the text for JSON, with levels of its own.
    let marked = json!({ "$serde_json::private::RawValue": nested(100).to_string() });
    let body = json!([{ "key": "deep", "value": nested(32) }, { "key": "text", "value": marked }]);
    let group = json_of(api.put(&path, &body).await, 200).await;
    let shown = &group["configuration"]["SoracomAir"];
    // Compared as texts: the reader of this test would fall for the key, too.
    assert!(shown.to_string().contains("[[[1]]]"), "{shown}");
    let text = fs::read_to_string(api.file()).unwrap();
    assert!(
        text.contains("\"$serde_json::private::RawValue\": \"[[["),
        "{text}"
    );
    assert!(FileStore::open(api.file()).is_ok());
}

#[tokio::test]
async fn a_number_keeps_its_digits_or_is_refused() {
    let api = Api::new().await;
    let path = format!("{CONFIGURATION}/SoracomAir");
    let body = |number: &str| format!(r#"[{{"key": "k", "value": {{"iccid": {number}}}}}]"#);
    let put = |text: String| {
        api.request(Method::PUT, &path)
            .header("content-type", "application/json")
            .body(text)
            .send()
    };
    let refused = put(body("89811000000000000170")).await.unwrap();
    let (_, message) = refusal(refused, StatusCode::BAD_REQUEST).await;
    assert!(
        message.starts_with("SoracomAir.k.iccid: the number is too large"),
        "{message}"
    );
    let largest = u64::MAX.to_string();
    let kept = put(body(&largest)).await.unwrap().text().await.unwrap();
    assert!(kept.contains(&format!(r#""iccid":{largest}"#)), "{kept}");
    // By hand it is refused with its line.
    let text = fs::read_to_string(api.file())
        .unwrap()
        .replace(&largest, "89811000000000000170");
    fs::write(api.file(), text).unwrap();
    let error = FileStore::open(api.file()).unwrap_err().to_string();
    assert!(
        error.contains("SoracomAir.k.iccid: the number is too large"),
        "{error}"
    );
    let (code, _) = refusal(put(body("1")).await.unwrap(), StatusCode::CONFLICT).await;
    assert_eq!(code, "BrokenFile");
}
