//! The OpenAPI document says what there is, and no more.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::api::auth::OPEN;

const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

async fn document(api: &Api) -> Value {
    let without_login = api.client.get(format!("{}/v1/openapi.json", api.url));
    json_of(without_login.send().await.unwrap(), 200).await
}

/// The operations of the document by path.
fn paths(document: &Value) -> BTreeMap<&str, BTreeMap<&str, &Value>> {
    document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(path, item)| {
            let of = item
                .as_object()
                .unwrap()
                .iter()
                .map(|(method, operation)| (method.as_str(), operation));
            (path.as_str(), of.collect())
        })
        .collect()
}

/// A path with something in each of its variable parts.
fn filled(path: &str) -> String {
    path.split('/')
        .map(|part| if part.starts_with('{') { "1" } else { part })
        .collect::<Vec<_>>()
        .join("/")
}

#[tokio::test]
async fn every_route_of_the_document_is_there_and_no_other_method_is() {
    let api = Api::new().await;
    let document = document(&api).await;
    let paths = paths(&document);
    assert!(paths.len() > 50, "{}", paths.len());
    for (path, operations) in &paths {
        for method in METHODS {
            let upper: Method = method.to_uppercase().parse().unwrap();
            let response = api.request(upper, &filled(path)).send().await.unwrap();
            let status = response.status();
            let text = response.text().await.unwrap();
            assert!(!text.contains("NoSuchRoute"), "{method} {path}: {text}");
            let is_there = status != StatusCode::METHOD_NOT_ALLOWED;
            assert_eq!(
                is_there,
                operations.contains_key(method),
                "{method} {path}: {status} {text}"
            );
        }
    }
}

#[test]
fn no_route_is_declared_without_its_document() {
    let mut files = vec![PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src/api"))];
    let mut seen = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if !path.components().any(|part| part.as_os_str() == "tests") {
            let text = fs::read_to_string(&path).unwrap();
            assert!(
                !text.contains(".route("),
                "{}: use .routes(routes!(…))",
                path.display()
            );
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen}");
}

#[tokio::test]
async fn what_needs_no_login_is_what_the_gate_lets_through() {
    let api = Api::new().await;
    let document = document(&api).await;
    let open: BTreeSet<&str> = paths(&document)
        .iter()
        .filter(|(_, operations)| {
            operations
                .values()
                .any(|operation| operation["security"] == json!([{}]))
        })
        .map(|(path, _)| *path)
        .collect();
    assert_eq!(open, BTreeSet::from(OPEN));
}

#[tokio::test]
async fn references_and_path_parameters_lead_somewhere_and_ids_are_unique() {
    let api = Api::new().await;
    let document = document(&api).await;
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
    let mut ids = BTreeSet::new();
    for (path, operations) in paths(&document) {
        for (method, operation) in operations {
            assert!(
                ids.insert(operation["operationId"].as_str().unwrap()),
                "{method} {path}"
            );
            let named: BTreeSet<String> = operation["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|parameter| parameter["in"] == "path")
                .map(|parameter| format!("{{{}}}", parameter["name"].as_str().unwrap()))
                .collect();
            let in_path: BTreeSet<String> = path
                .split('/')
                .filter(|part| part.starts_with('{'))
                .map(str::to_owned)
                .collect();
            assert_eq!(named, in_path, "{method} {path}");
            for (status, response) in operation["responses"].as_object().unwrap() {
                let description = response["description"].as_str().unwrap();
                assert!(!description.is_empty(), "{method} {path} {status}");
            }
        }
    }
}

#[tokio::test]
async fn a_subscriber_is_documented_as_one() {
    let api = Api::new().await;
    let document = document(&api).await;
    let text = document["paths"]["/v1/subscribers/{imsi}/set_group"].to_string();
    assert!(
        text.contains("schemas/Subscriber\"") && !text.contains("schemas/Sim\""),
        "{text}"
    );
}
