//! The description of the API: OpenAPI 3.1, made of the table of routes and of `components.json`.
//!
//! What: which routes there are, who may call each, what it takes and answers. Schemas are written
//! by hand in `components.json` and named by the table; a test holds real answers against them, so
//! that neither is believed. A generator of schemas from types would describe the structs and not
//! the stored JSON that answers carry byte for byte, and knows nothing of policies. What not: the
//! codes of refusals, which the manual lists.

use std::sync::{Arc, LazyLock};

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::route::{Gives, Route, Verb};
use crate::api::problem;
use crate::app::App;
use crate::security::policy::{Form, Policy, Who};

/// Writes the description as it is printed, served and kept.
pub(crate) fn description() -> String {
    format!("{:#}\n", document())
}

/// `GET /openapi.json`: the description, where the operator wants it to be seen.
pub(super) async fn served(State(app): State<Arc<App>>) -> Response {
    static DESCRIPTION: LazyLock<String> = LazyLock::new(description);
    if !app.config.serving.serves_docs {
        return problem::not_found();
    }
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, DESCRIPTION.as_str()).into_response()
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
        "info": {
            "title": "monsys-hub",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Refusals of calls are application/problem+json, those of pages are pages.",
        },
        "paths": paths,
        "components": components(),
    })
}

/// The schemas and parameters, and how callers prove who they are.
fn components() -> Value {
    // Cannot fail: a test reads the description.
    let mut components: Value = serde_json::from_str(COMPONENTS).unwrap_or_default();
    components["securitySchemes"] = json!({
        "session": {"type": "apiKey", "in": "cookie", "name": "__Host-monsys"},
        "token": {"type": "http", "scheme": "bearer"},
        "agent": {"type": "http", "scheme": "bearer"},
        "metrics": {"type": "apiKey", "in": "header", "name": "X-Metrics-Token"},
    });
    components
}

fn operation(route: &Route) -> Value {
    let policy = route.policy;
    let mut operation = json!({
        "summary": route.about.summary,
        "tags": [policy.form.as_str()],
        "x-monsys-policy": {"who": policy.who.as_str(), "form": policy.form.as_str()},
        "security": security(policy),
        "responses": responses(route),
    });
    let in_path = names(route.path).map(
        |name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}),
    );
    let in_query = route.about.query.iter();
    let in_query = in_query.map(|name| json!({"$ref": format!("#/components/parameters/{name}")}));
    let parameters: Vec<_> = in_path.chain(in_query).collect();
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(schema) = route.about.body {
        operation["requestBody"] = json!({"required": true, "content": json_of(schema)});
    } else if route.verb == Verb::Post && policy.form == Form::Page {
        let form = json!({"application/x-www-form-urlencoded": {"schema": {"type": "object"}}});
        operation["requestBody"] = json!({"required": true, "content": form});
    }
    operation
}

/// The names of what stands in a path.
fn names(path: &str) -> impl Iterator<Item = &str> {
    let parts = path.split('/');
    parts.filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn security(policy: Policy) -> Value {
    match policy.who {
        Who::Anyone | Who::LinkHolder => json!([]),
        Who::Agent => json!([{"agent": []}]),
        Who::Monitor => json!([{"metrics": []}]),
        Who::Person | Who::Admin => json!([{"session": []}, {"token": []}]),
    }
}

/// What a route answers when all is well, and how it refuses.
fn responses(route: &Route) -> Value {
    let mut responses = Map::new();
    for (status, gives) in &route.about.gives {
        let response = responses.entry(status.to_string());
        let response = response.or_insert_with(|| json!({"description": said(*status)}));
        let content = match gives {
            Gives::Json(schema) => json_of(schema),
            Gives::Text(kind) => json!({*kind: {"schema": {"type": "string"}}}),
            Gives::Page => html(),
            Gives::Nothing => continue,
        };
        join(&mut response["content"], content);
    }
    let refusal = match route.policy.form {
        Form::Page => html(),
        Form::Api => json!({"application/problem+json": {"schema": schema_of("Problem")}}),
    };
    let refused = json!({"description": "Refused", "content": refusal});
    responses.insert("default".into(), refused);
    responses.into()
}

/// Adds the members of an object to those of another.
fn join(content: &mut Value, more: Value) {
    match (content, more) {
        (Value::Object(content), Value::Object(more)) => content.extend(more),
        (content, more) => *content = more,
    }
}

fn said(status: u16) -> &'static str {
    match status {
        201 => "Made",
        202 => "Stored",
        204 => "Done",
        303 => "Elsewhere",
        _ => "Here it is",
    }
}

fn html() -> Value {
    json!({"text/html": {"schema": {"type": "string"}}})
}

fn json_of(schema: &str) -> Value {
    json!({"application/json": {"schema": schema_of(schema)}})
}

fn schema_of(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

const COMPONENTS: &str = include_str!("components.json");
