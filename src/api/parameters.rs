//! Query parameters: one that a call does not have is refused. A filter that is passed over by a typing error would
//! have a list of everything taken for what was asked for.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{MatchedPath, Query, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::{OpenApi, RefOr};

use super::ApiError;

/// The query parameters of all calls that want a login, by path and method, as the OpenAPI document names them. Those
/// without one are for machines that watch the service, which may add what they like.
#[derive(Debug, Clone)]
pub(super) struct Known(Arc<HashMap<(String, Method), Vec<String>>>);

impl Known {
    pub(super) fn of(document: &OpenApi) -> Self {
        let calls = document.paths.paths.iter().flat_map(|(path, item)| {
            let wants_login = |(_, operation): &(Method, &Operation)| operation.security.is_none();
            operations(item)
                .filter(wants_login)
                .map(|(method, operation)| ((path.clone(), method), names(operation)))
        });
        Self(Arc::new(calls.collect()))
    }

    fn check(&self, request: &Request) -> Result<(), ApiError> {
        // GET answers HEAD, too.
        let method = match *request.method() {
            Method::HEAD => Method::GET,
            ref method => method.clone(),
        };
        let path = request.extensions().get::<MatchedPath>();
        let Some(known) = path.and_then(|path| self.0.get(&(path.as_str().to_owned(), method))) else {
            return Ok(());
        };
        let query = Query::<Vec<(String, String)>>::try_from_uri(request.uri());
        let Query(given) = query.map_err(|error| ApiError::InvalidQuery(error.body_text()))?;
        match given.into_iter().find(|(name, _)| !known.contains(name)) {
            Some((unknown, _)) => Err(ApiError::UnknownParameter {
                unknown,
                known: known.clone(),
            }),
            None => Ok(()),
        }
    }
}

/// The operations of a path that this API has.
pub(super) fn operations(item: &PathItem) -> impl Iterator<Item = (Method, &Operation)> {
    [
        (Method::GET, &item.get),
        (Method::PUT, &item.put),
        (Method::POST, &item.post),
        (Method::DELETE, &item.delete),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
}

fn names(operation: &Operation) -> Vec<String> {
    let parameters = operation.parameters.iter().flatten();
    parameters
        .filter_map(|parameter| match parameter {
            RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query => {
                Some(parameter.name.clone())
            }
            _ => None,
        })
        .collect()
}

/// Refuses a call with a query parameter that it does not have.
pub(super) async fn refuse_unknown(
    State(known): State<Known>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    known.check(&request)?;
    Ok(next.run(request).await)
}
