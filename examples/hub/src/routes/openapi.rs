//! The description of the API, made of the table of routes: OpenAPI 3.1.

use serde_json::{Map, Value, json};

use super::route::Route;

/// Writes the description as it is printed and kept.
pub(crate) fn description() -> String {
    format!("{:#}\n", document())
}

fn document() -> Value {
    let mut paths = Map::new();
    for route in super::table() {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(route.verb.as_str().to_ascii_lowercase(), operation(&route));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {"title": "monsys-hub", "version": env!("CARGO_PKG_VERSION")},
        "paths": paths,
    })
}

fn operation(route: &Route) -> Value {
    json!({
        "summary": route.summary,
        "x-monsys-policy": {
            "who": route.policy.who.as_str(),
            "form": route.policy.form.as_str(),
        },
    })
}
