//! A SIM and a subscriber are two names of one thing, so their routes are written once, for SIMs: here they get
//! the path and the document of the one or the other.

use axum::routing::MethodRouter;
use utoipa::openapi::path::Paths;
use utoipa::openapi::{RefOr, Schema};

use super::ApiState;

/// Named schemas, paths of the document, and what answers them.
pub(super) type Routes = (Vec<(String, RefOr<Schema>)>, Paths, MethodRouter<ApiState>);

/// As `utoipa_axum::routes!`, for handlers that are generic over [`super::identity::Identity`].
macro_rules! twin {
    ($I:ident, $module:ident: $($handler:ident),+) => {{
        use utoipa::Path;
        use utoipa::__dev::{SchemaReferences, Tags};
        use utoipa_axum::PathItemExt;
        let (mut schemas, mut paths) = (Vec::new(), utoipa::openapi::path::Paths::new());
        let mut router = axum::routing::MethodRouter::new();
        utoipa_axum::paste! {$(
            let methods = $module::[<__path_ $handler>]::methods();
            for method in &methods {
                router = router.on(method.to_method_filter(), $module::$handler::<$I>);
            }
            let path = $module::[<__path_ $handler>]::path();
            let mut operation = $module::[<__path_ $handler>]::operation();
            let tags = $module::[<__path_ $handler>]::tags();
            operation.tags = Some(tags.into_iter().map(str::to_owned).collect());
            paths.add_path_operation(path, methods, operation);
            $module::[<__path_ $handler>]::schemas(&mut schemas);
        )+}
        $I::routes((schemas, paths, router))
    }};
}
pub(super) use twin;

/// The routes of SIMs as those of subscribers.
pub(super) fn of_subscribers((schemas, paths, router): Routes) -> Routes {
    let renamed = serde_json::to_string(&paths).and_then(|text| {
        let text = text
            .replace("/sims", "/subscribers")
            .replace("{sim_id}", "{imsi}");
        serde_json::from_str(&text.replace("schemas/Sim\"", "schemas/Subscriber\""))
    });
    // What was read from the type can be written and read again.
    (schemas, renamed.unwrap_or(paths), router)
}
