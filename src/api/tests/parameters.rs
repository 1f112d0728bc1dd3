//! Query parameters that a call has, and those that it has not.

use super::*;
use crate::api::auth::OPEN;

/// Calls with parameters that SORACOM's API has and its command may send.
const OF_SORACOM: [(&str, &str); 9] = [
    (
        "/v1/query/sims",
        "name group group_id sim_id imsi msisdn iccid serial_number tag bundles status session_status subscription \
         module_type imei active_profile_id subscribers_in_transit search_type limit last_evaluated_key",
    ),
    (
        "/v1/query/subscribers",
        "name group imsi msisdn iccid serial_number tag subscription module_type search_type limit last_evaluated_key",
    ),
    ("/v1/sims", "limit last_evaluated_key"),
    (
        "/v1/subscribers",
        "tag_name tag_value tag_value_match_mode status_filter speed_class_filter serial_number_filter limit \
         last_evaluated_key",
    ),
    (
        "/v1/groups",
        "tag_name tag_value tag_value_match_mode limit last_evaluated_key",
    ),
    ("/v1/groups/default/subscribers", "limit last_evaluated_key"),
    (
        "/v1/logs",
        "resource_type resource_id service from to limit last_evaluated_key",
    ),
    (
        "/v1/sims/8981100000000000017/events/sessions",
        "from to limit last_evaluated_key",
    ),
    ("/v1/stats/beam/subscribers/440103000000001", "from to period"),
];

#[tokio::test]
async fn a_parameter_that_a_call_does_not_have_is_refused_by_name() {
    let api = Api::new().await;
    let document = json_of(api.get("/v1/openapi.json").await, 200).await;
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let filled = path.replace('{', "1").replace('}', "");
            let request = api.request(method.clone(), &format!("{filled}?limti=1"));
            let response = request.send().await.unwrap();
            if OPEN.contains(&path.as_str()) {
                let text = response.text().await.unwrap();
                assert!(!text.contains("limti"), "{method} {path}: {text}");
                continue;
            }
            let (code, message) = refusal(response, StatusCode::BAD_REQUEST).await;
            assert_eq!(code, "InvalidQuery");
            assert!(message.starts_with("\"limti\" is no parameter"), "{message}");
        }
    }
    let (_, message) = refusal(api.get("/v1/groups/default?x").await, StatusCode::BAD_REQUEST).await;
    assert_eq!(message, "\"x\" is no parameter of this call; it has none");
    let misspelled = api.get("/v1/groups/default/subscribers?lastkey=1").await;
    let (_, message) = refusal(misspelled, StatusCode::BAD_REQUEST).await;
    assert!(
        message.ends_with("there are limit, last_evaluated_key"),
        "{message}"
    );
    let head = api.request(Method::HEAD, "/v1/groups?limti=1").send();
    assert_eq!(head.await.unwrap().status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn every_parameter_of_soracom_is_known() {
    let api = Api::new().await;
    for (path, names) in OF_SORACOM {
        for name in names.split(' ') {
            let response = api.get(&format!("{path}?{name}=0")).await;
            let text = response.text().await.unwrap();
            assert!(!text.contains("is no parameter"), "{path} {name}: {text}");
        }
    }
}
