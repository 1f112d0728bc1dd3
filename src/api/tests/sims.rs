use super::*;

const SIM: &str = "/v1/sims/8981100000000000017";
const SUBSCRIBER: &str = "/v1/subscribers/440103000000001";

#[tokio::test]
async fn a_sim_and_its_subscriber_have_soracoms_shapes() {
    let api = Api::new().await;
    assert_eq!(
        json_of(api.get(SIM).await, 200).await,
        json!({
            "simId": "8981100000000000017", "operatorId": api.operator, "status": "active", "groupId": "default",
            "tags": { "name": "" }, "terminationEnabled": true, "activeProfileId": "8981100000000000017",
            "profiles": { "8981100000000000017": { "iccid": "8981100000000000017", "primaryImsi": "440103000000001",
                "subscribers": { "440103000000001": { "imsi": "440103000000001", "status": "active" } } } },
            "sessionStatus": { "online": false }, "addresses": ["127.0.0.1", "::1"], "imei": "352709570000018"
        })
    );
    assert_eq!(
        json_of(api.get(SUBSCRIBER).await, 200).await,
        json!({
            "imsi": "440103000000001", "simId": "8981100000000000017", "iccid": "8981100000000000017",
            "operatorId": api.operator, "status": "active", "groupId": "default", "tags": { "name": "" },
            "terminationEnabled": true, "sessionStatus": { "online": false },
            "addresses": ["127.0.0.1", "::1"], "imei": "352709570000018"
        })
    );
    for (path, code) in [
        ("/v1/sims/1", "NoSuchSim"),
        ("/v1/subscribers/x", "NoSuchSubscriber"),
    ] {
        assert_eq!(refusal(api.get(path).await, StatusCode::NOT_FOUND).await.0, code);
    }
}

#[tokio::test]
async fn sims_are_made_with_what_is_given_and_with_free_numbers_for_the_rest() {
    let api = Api::new().await;
    // As the soracom command sends it.
    let virtual_sim = json!({ "type": "virtual", "subscription": "planArc01" });
    let made = json_of(api.post("/v1/sims", &virtual_sim).await, 201).await;
    assert!(made["simId"].as_str().unwrap().starts_with("8900101"));
    assert!(made["createdTime"].is_i64());
    let whole = json!({ "simId": "8981100000000000099", "imsi": "440103000000099", "imei": "352709570000099",
                        "groupId": "default", "addresses": ["10.0.0.9", "::ffff:10.0.0.10"], "tags": { "name": "n" } });
    let made = json_of(api.post("/v1/sims", &whole).await, 201).await;
    assert_eq!(made["addresses"], json!(["10.0.0.9", "10.0.0.10"]));
    assert_eq!(
        (&made["imei"], &made["groupId"], &made["tags"]["name"]),
        (&whole["imei"], &whole["groupId"], &json!("n"))
    );
    let register = json!({ "registrationSecret": "1234", "groupId": "default", "tags": { "name": "r" } });
    let registered = json_of(
        api.post("/v1/sims/8981100000000000098/register", &register).await,
        201,
    )
    .await;
    assert_eq!(
        (&registered["simId"], &registered["tags"]["name"]),
        (&json!("8981100000000000098"), &json!("r"))
    );
    let tags = json!([{ "tagName": "name", "tagValue": "r" }]);
    let register = json!({ "registrationSecret": "1234", "tags": tags, "addresses": null });
    let registered = json_of(
        api.post("/v1/subscribers/440103000000097/register", &register)
            .await,
        201,
    )
    .await;
    assert_eq!(
        (&registered["imsi"], &registered["tags"]["name"]),
        (&json!("440103000000097"), &json!("r"))
    );

    for (body, status, code, message) in [
        (
            json!({ "simId": "1" }),
            400,
            "InvalidBody",
            "simId: \"1\" is not a SIM id",
        ),
        (
            json!({ "addresses": ["10.0.0.9/8"] }),
            400,
            "InvalidBody",
            "addresses[0]: \"10.0.0.9/8\"",
        ),
        (json!({ "iimsi": "1" }), 400, "InvalidBody", "`iimsi`"),
        (json!({ "groupId": "nobody" }), 400, "NoSuchGroup", "\"nobody\""),
        (
            json!({ "addresses": ["10.0.0.9"] }),
            409,
            "AlreadyExists",
            "SIM 8981100000000000099",
        ),
        (json!({ "imsi": "440103000000099" }), 409, "AlreadyExists", "IMSI"),
        (
            json!({ "simId": "8981100000000000099" }),
            409,
            "AlreadyExists",
            "SIM id",
        ),
    ] {
        let response = api.post("/v1/sims", &body).await;
        let found = refusal(response, StatusCode::from_u16(status).unwrap()).await;
        assert!(found.0 == code && found.1.contains(message), "{found:?}");
    }
    let again = FileStore::open(api.file()).unwrap();
    assert_eq!(again.snapshot().sims().len(), 5);
}

#[tokio::test]
async fn a_sim_changes_by_both_of_its_names() {
    let api = Api::new().await;
    let group = json_of(api.post("/v1/groups", &json!({})).await, 201).await["groupId"].clone();
    for path in [SIM, SUBSCRIBER] {
        let put = |rest: &str, body: Value| {
            let path = format!("{path}/{rest}");
            let api = &api;
            async move { json_of(api.put(&path, &body).await, 200).await }
        };
        let moved = json_of(
            api.post(&format!("{path}/set_group"), &json!({ "groupId": group }))
                .await,
            200,
        )
        .await;
        assert_eq!(moved["groupId"], group);
        let response = api
            .post(&format!("{path}/set_group"), &json!({ "groupId": "nobody" }))
            .await;
        assert_eq!(refusal(response, StatusCode::BAD_REQUEST).await.0, "NoSuchGroup");
        let out = json_of(api.call(&format!("{path}/unset_group?")).await, 200).await;
        assert!(out.get("groupId").is_none());
        let set = format!("{path}/set_group");
        json_of(api.post(&set, &json!({ "groupId": group })).await, 200).await;
        let out = json_of(api.post(&set, &json!({ "groupId": null })).await, 200).await;
        assert!(out.get("groupId").is_none());
        let nothing_said = api.post(&set, &json!({})).await;
        let (_, message) = refusal(nothing_said, StatusCode::BAD_REQUEST).await;
        assert!(message.contains("missing field `groupId`"), "{message}");
        for (call, status) in [
            ("deactivate", "inactive"),
            ("suspend", "suspended"),
            ("activate", "active"),
        ] {
            assert_eq!(
                json_of(api.call(&format!("{path}/{call}")).await, 200).await["status"],
                status
            );
        }
        let tagged = put(
            "tags",
            json!([{ "tagName": "name", "tagValue": "ポンプ" }, { "tagName": "a/b", "tagValue": "" }]),
        );
        assert_eq!(tagged.await["tags"], json!({ "name": "ポンプ", "a/b": "" }));
        assert_eq!(
            api.delete(&format!("{path}/tags/a%2Fb")).await.status(),
            StatusCode::NO_CONTENT
        );
        assert_eq!(
            put("addresses", json!(["10.0.0.1"])).await["addresses"],
            json!(["10.0.0.1"])
        );
        let missing = api.put(&format!("{path}/imei"), &json!({})).await;
        let (_, message) = refusal(missing, StatusCode::BAD_REQUEST).await;
        assert!(message.contains("missing field `imei`"), "{message}");
        assert!(put("imei", json!({ "imei": null })).await.get("imei").is_none());
        assert_eq!(
            put("imei", json!({ "imei": "352709570000018" })).await["imei"],
            "352709570000018"
        );
        let offline = api.call(&format!("{path}/delete_session")).await;
        let (code, message) = refusal(offline, StatusCode::BAD_REQUEST).await;
        assert_eq!(
            (code.as_str(), message.as_str()),
            ("SEM0016", "The specified subscriber is offline")
        );
    }
    assert_eq!(
        json_of(api.call(&format!("{SIM}/terminate")).await, 200).await["status"],
        "terminated"
    );
    let back = api.call(&format!("{SIM}/activate")).await;
    assert_eq!(refusal(back, StatusCode::CONFLICT).await.0, "Terminated");
    assert_eq!(api.delete(SIM).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(
        refusal(api.delete(SIM).await, StatusCode::NOT_FOUND).await.0,
        "NoSuchSim"
    );
    assert!(FileStore::open(api.file()).unwrap().snapshot().sims().is_empty());
}

fn ten() -> String {
    let status = |n| if n == 3 { "inactive" } else { "active" };
    let sims: Vec<Value> = (0..10)
        .map(|n| {
            json!({ "simId": format!("89811{n:014}"), "imsi": format!("44010{:010}", 100 - n),
                         "groupId": if n < 5 { "a" } else { "b" }, "status": status(n),
                         "tags": { "name": format!("Pump {n}"), "site": format!("東京{}", n % 2) } })
        })
        .collect();
    json!({ "groups": [{ "groupId": "a", "tags": { "name": "North" } }, { "groupId": "b" }], "sims": sims })
        .to_string()
}

/// The last digits of the SIM ids in the answer, and the key of the next page.
async fn found(api: &Api, path: &str) -> (String, Option<String>) {
    let response = api.get(path).await;
    let next = response.headers().get("x-soracom-next-key");
    let next = next.map(|value| value.to_str().unwrap().to_owned());
    let sims = json_of(response, 200).await;
    let ids = sims
        .as_array()
        .unwrap()
        .iter()
        .map(|sim| sim["simId"].as_str().unwrap()[18..].to_owned());
    (ids.collect(), next)
}

#[tokio::test]
async fn lists_are_paged_by_sim_id_and_by_imsi() {
    let api = Api::with(&ten()).await;
    for (path, expected, next) in [
        ("/v1/sims", "0123456789", None),
        ("/v1/sims?limit=3", "012", Some("8981100000000000002")),
        (
            "/v1/sims?limit=3&last_evaluated_key=8981100000000000008",
            "9",
            None,
        ),
        ("/v1/subscribers?limit=2", "98", Some("440100000000092")),
        (
            "/v1/subscribers?limit=100&last_evaluated_key=440100000000098",
            "10",
            None,
        ),
        ("/v1/subscribers?status_filter=inactive|suspended", "3", None),
        (
            "/v1/subscribers?tag_name=site&tag_value=%E6%9D%B1%E4%BA%AC1",
            "97531",
            None,
        ),
        ("/v1/subscribers?speed_class_filter=s1.fast", "", None),
    ] {
        let (ids, key) = found(&api, path).await;
        assert_eq!((ids.as_str(), key.as_deref()), (expected, next), "{path}");
    }
    // A page goes on where it was, though its last SIM is gone.
    assert_eq!(
        api.delete("/v1/sims/8981100000000000002").await.status(),
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        found(&api, "/v1/sims?limit=2&last_evaluated_key=8981100000000000002")
            .await
            .0,
        "34"
    );
    let bad = api.get("/v1/sims?last_evaluated_key=x").await;
    assert_eq!(refusal(bad, StatusCode::BAD_REQUEST).await.0, "InvalidQuery");
}

#[tokio::test]
async fn a_status_that_there_is_not_is_no_filter() {
    let api = Api::with(&ten()).await;
    for bad in ["foo", "active|foo", "Active", "active|"] {
        let response = api.get(&format!("/v1/subscribers?status_filter={bad}")).await;
        let (code, message) = refusal(response, StatusCode::BAD_REQUEST).await;
        assert_eq!(code, "InvalidQuery");
        assert!(message.contains("one of ready, active, inactive"), "{message}");
    }
    for (query, expected) in [("instock|shipped", ""), ("inactive|shipped", "3")] {
        let path = format!("/v1/subscribers?status_filter={query}");
        assert_eq!(found(&api, &path).await.0, expected);
    }
}

#[tokio::test]
async fn a_virtual_sim_is_found_by_what_every_virtual_sim_is() {
    let api = Api::new().await;
    let body = json!({ "type": "virtual", "subscription": "planArc01" });
    let made = json_of(api.post("/v1/sims", &body).await, 201).await;
    assert_eq!(made["moduleType"], "virtual");
    for query in ["module_type=virtual", "subscription=planArc01"] {
        let found = json_of(api.get(&format!("/v1/query/sims?{query}")).await, 200).await;
        assert_eq!(found.as_array().unwrap().len(), 1, "{query}");
        assert_eq!(found[0]["simId"], made["simId"]);
    }
    let part = api.get("/v1/query/sims?subscription=plan").await;
    assert_eq!(json_of(part, 200).await, json!([]));
    let subscribers = json_of(api.get("/v1/query/subscribers?module_type=virtual").await, 200).await;
    assert_eq!(subscribers[0]["subscription"], "planArc01");
    for body in [
        json!({ "type": "virtual", "subscription": "plan-D" }),
        json!({ "subscription": "planArc01" }),
    ] {
        let response = api.post("/v1/sims", &body).await;
        let (code, message) = refusal(response, StatusCode::BAD_REQUEST).await;
        assert_eq!(code, "InvalidBody");
        assert!(message.starts_with("subscription: \"plan"), "{message}");
    }
}

#[tokio::test]
async fn sims_are_found_by_parts_of_what_is_known() {
    let api = Api::with(&ten()).await;
    for (query, expected) in [
        ("name=pUMP+7", "7"),
        ("name=mp+1,mp+2&search_type=or", "12"),
        ("name=pump&name=mp+2", "2"),
        ("group=nor&status=inact", "3"),
        ("group_id=b", ""),
        ("imsi=0098", "2"),
        ("tag=%E6%9D%B1%E4%BA%AC0&limit=2", "02"),
        ("session_status=ONLINE", ""),
        ("session_status=OFFLINE&sim_id=05", "5"),
        ("msisdn=81&name=mp+4&search_type=or", "4"),
        ("module_type=nano", ""),
        ("imei=999999", ""),
        ("active_profile_id=00007", "7"),
        ("subscribers_in_transit=true", ""),
        ("subscribers_in_transit=true&name=mp+4&search_type=or", "4"),
        ("subscribers_in_transit=false&name=mp+4", "4"),
        ("status=shipped", ""),
    ] {
        let path = format!("/v1/query/sims?{query}");
        if query.starts_with("group_id") {
            // One letter is too short for a search.
            assert_eq!(
                refusal(api.get(&path).await, StatusCode::BAD_REQUEST).await.0,
                "InvalidQuery"
            );
            continue;
        }
        assert_eq!(found(&api, &path).await.0, expected, "{query}");
    }
    assert_eq!(
        found(&api, "/v1/query/subscribers?name=pump&limit=3").await.0,
        "987"
    );
    for (query, allowed) in [
        ("name=ab,c", "2 characters"),
        ("search_type=xor", "\"and\" or \"or\""),
        ("session_status=maybe", "ONLINE"),
        ("subscribers_in_transit=maybe", "true"),
        ("status=foo", "one of ready, active,"),
        ("status=active,foo", "\"foo\" is not"),
        ("module_type=foo", "profilePackage"),
    ] {
        let response = api.get(&format!("/v1/query/sims?{query}")).await;
        let (code, message) = refusal(response, StatusCode::BAD_REQUEST).await;
        assert_eq!(code, "InvalidQuery", "{query}");
        assert!(message.contains(allowed), "{query}: {message}");
    }
}

#[tokio::test]
async fn a_sim_is_locked_to_a_modem_by_both_of_its_names() {
    let api = Api::new().await;
    let lock = |path: &'static str, body: Value| {
        let api = &api;
        async move { api.post(&format!("/v1/{path}/set_imei_lock"), &body).await }
    };
    const SIM: &str = "sims/8981100000000000017";
    const SUBSCRIBER: &str = "subscribers/440103000000001";
    for (path, imei) in [
        (SIM, "352709570000018"),
        (SUBSCRIBER, "352709570000018|ANONYMOUS"),
    ] {
        let shown = json_of(lock(path, json!({ "imei": imei })).await, 200).await;
        assert_eq!(shown["imeiLock"], json!({ "imei": imei }));
        assert_eq!(
            api.get(&format!("/v1/{SIM}"))
                .await
                .json::<Value>()
                .await
                .unwrap()["imeiLock"]["imei"],
            imei
        );
        let file: Value = serde_json::from_str(&fs::read_to_string(api.file()).unwrap()).unwrap();
        assert_eq!(file["sims"][0]["imeiLock"], imei);
    }
    for body in [
        json!({ "imei": "1" }),
        json!({ "imei": "" }),
        json!({}),
        json!({ "imie": "1" }),
    ] {
        let (code, message) = refusal(lock(SIM, body.clone()).await, StatusCode::BAD_REQUEST).await;
        assert_eq!(code, "InvalidBody", "{body}");
        assert!(message.contains("imei") || message.contains("imie"), "{message}");
    }
    let (_, message) = refusal(
        api.call(&format!("/v1/{SIM}/set_imei_lock")).await,
        StatusCode::BAD_REQUEST,
    )
    .await;
    assert!(message.contains("offline"), "{message}");
    let shown = json_of(api.call(&format!("/v1/{SIM}/unset_imei_lock")).await, 200).await;
    assert!(shown.get("imeiLock").is_none());
}

#[tokio::test]
async fn the_kind_of_a_sim_is_kept_and_shown_as_soracom_does() {
    let api = Api::new().await;
    let body = json!({
        "simId": "8981100000000000099", "imsi": "440103000000099",
        "type": "virtual", "subscription": "planArc01", "moduleType": "virtual", "speedClass": "arc.standard"
    });
    let sim = json_of(api.post("/v1/sims", &body).await, 201).await;
    assert_eq!(
        (&sim["type"], &sim["moduleType"]),
        (&json!("virtual"), &json!("virtual"))
    );
    let subscriber = json_of(api.get("/v1/subscribers/440103000000099").await, 200).await;
    assert_eq!(
        (&subscriber["type"], &subscriber["speedClass"]),
        (&json!("arc.standard"), &json!("arc.standard"))
    );
    let found = json_of(
        api.get("/v1/subscribers?speed_class_filter=s1.fast|arc.standard")
            .await,
        200,
    )
    .await;
    assert_eq!(found.as_array().unwrap().len(), 1);
    let found = json_of(api.get("/v1/query/sims?module_type=VIRT").await, 200).await;
    assert_eq!(found[0]["simId"], "8981100000000000099");
    for (field, value) in [("type", "sim"), ("moduleType", "Nano"), ("speedClass", "a b")] {
        let (_, message) = refusal(
            api.post("/v1/sims", &json!({ field: value })).await,
            StatusCode::BAD_REQUEST,
        )
        .await;
        assert!(
            message.starts_with(&format!("{field}: {value:?} is not a ")),
            "{message}"
        );
    }
}
