//! Which methods the paths have, for those who ask for another one.

use std::collections::HashMap;
use std::sync::Arc;

use axum::http::Method;
use utoipa::openapi::OpenApi;

use super::parameters::operations;

/// The methods of every path, in words.
#[derive(Debug, Clone)]
pub(super) struct Methods(Arc<HashMap<String, String>>);

impl Methods {
    pub(super) fn of(document: &OpenApi) -> Self {
        let paths = document.paths.paths.iter().map(|(path, item)| {
            let methods: Vec<_> = operations(item).map(|(method, _)| words(&method)).collect();
            (path.clone(), methods.join(" or "))
        });
        Self(Arc::new(paths.collect()))
    }

    /// Those of a path as the routes have it.
    pub(super) fn at(&self, path: &str) -> &str {
        self.0.get(path).map_or("another method", String::as_str)
    }
}

fn words(method: &Method) -> String {
    match *method {
        // GET answers HEAD, too.
        Method::GET => "GET or HEAD".to_owned(),
        ref method => method.to_string(),
    }
}
