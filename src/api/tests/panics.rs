//! A mistake in one call is no reason to answer none.

use axum::routing::get;
use axum::{Router, middleware};
use tokio::net::TcpListener;

use super::*;
use crate::api::panics;

async fn breaks() {
    tokio::task::yield_now().await;
    panic!("on purpose");
}

#[tokio::test]
async fn a_call_that_panics_is_answered() {
    let router = Router::new()
        .route("/", get(breaks))
        .layer(middleware::from_fn(panics::answer));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, router).into_future());
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(url).send().await.unwrap();
    let (code, message) = refusal(answer, StatusCode::INTERNAL_SERVER_ERROR).await;
    assert!(
        code == "InternalError" && message.contains("in its log"),
        "{message}"
    );
}
