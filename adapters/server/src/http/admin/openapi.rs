//! The document of the operator's API, in the form of OpenAPI 3.1.
//!
//! The operations come from the handlers, which are registered together with them. What holds for
//! many is added here by rule: path parameters, errors, and the rights that an operation needs,
//! which the guard of the API itself tells.

use std::sync::LazyLock;

use axum::http::Method;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use handfast_core::registry::authority::Role;
use serde_json::{Map, Value, json};

use super::failure::ErrorView;
use super::{api_routes, local_routes};
use crate::http::session_api::guard::{destroys, least_role};
use crate::http::session_api::own_routes;

/// Path of the document.
pub(in crate::http) const PATH: &str = "/api/v1/openapi.json";

/// What the document says first.
const ABOUT: &str = "\
    What an operator, an operator's program, or a companion does at a Handfast gateway.\n\n\
    Times are RFC 3339. Permissions are patterns like `/lights/**`, by action. An answer \
    with `delivery` holds a secret that is told only once: the client confirms the delivery \
    once the secret is in its place; if nobody confirms it for a minute and nobody uses the \
    secret, the decision behind it is undone.\n\n\
    Every operation but those of a companion's own session and of a browser's own is also \
    served on the Unix socket in the gateway's data directory, which needs no credentials \
    and has the owner's rights: `curl --unix-socket DATA/handfast.sock \
    http://localhost/api/v1/status`. `x-handfast-role` is the least role that an operation \
    needs over HTTP: `viewer`, `operator` or `owner`; `local` for the socket alone; \
    `companion` for a companion's own session. A companion's session may do, beside that, \
    what its permissions under `/gateway` allow. `x-handfast-fresh-login` marks what needs a \
    session that was opened in the last ten minutes, which no token is.\n\n\
    Errors are one object, `error`, with a `code` for programs, a `message` for people, and \
    a `hint`: the call that mends the problem or shows more about it, or `null`.";

/// The document as it is served.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    // Without a map in it whose keys are no text, this cannot fail.
    serde_json::to_string_pretty(&document()).unwrap_or_default() + "\n"
});

/// Returns this document: every operation of the API, in the form of OpenAPI 3.1.
///
/// It needs no login.
#[utoipa::path(
    get,
    path = "/api/v1/openapi.json",
    tag = "State",
    responses((status = 200, body = serde_json::Value)),
)]
pub(in crate::http) async fn show() -> Response {
    let head = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-cache")];
    (head, DOCUMENT.as_str()).into_response()
}

/// Makes the document of all operations.
fn document() -> Value {
    let all = api_routes().merge(local_routes()).merge(own_routes());
    let mut document = serde_json::to_value(all.into_openapi()).unwrap_or_default();
    document["openapi"] = json!("3.1.0");
    document["info"] = json!({
        "title": "Handfast gateway", "version": env!("CARGO_PKG_VERSION"),
        "description": ABOUT,
        "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
    });
    document["servers"] = json!([{"url": "/", "description": "The gateway that serves this."}]);
    document["components"]["securitySchemes"] = schemes();
    document["components"]["responses"] = errors();
    document["components"]["schemas"]["ErrorView"] = schema::<ErrorView>();
    document["components"]["schemas"]["ErrorBody"] = schema::<super::ErrorBody>();
    let schemas = document["components"]["schemas"].clone();
    for (path, item) in document["paths"].as_object_mut().into_iter().flatten() {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            let operation = Operation { path, method, what: operation };
            operation.complete(&schemas);
        }
    }
    document
}

fn schema<T: utoipa::PartialSchema>() -> Value {
    serde_json::to_value(T::schema()).unwrap_or_default()
}

fn schemes() -> Value {
    json!({
        "bearer": {
            "type": "http", "scheme": "bearer",
            "description": "The token of an operator's program, or of a companion's session.",
        },
        "cookie": {
            "type": "apiKey", "in": "cookie", "name": "__Host-handfast",
            "description": "An operator's session in a browser, which a login link opens. Over \
                plain HTTP on the gateway's own machine its name is `handfast-PORT`.",
        },
        "csrf": {
            "type": "apiKey", "in": "header", "name": "X-Handfast-CSRF",
            "description": "The session's token from `GET /api/v1/operator`, for requests of a \
                browser that change something.",
        },
    })
}

/// The statuses of errors, with the names and descriptions of their answers.
const ERRORS: [(&str, &str, &str); 9] = [
    ("400", "Usage", "The request is not understood, or asks for what cannot be: `usage`."),
    (
        "401",
        "NoRight",
        "No credentials, or none that count: `bearer_missing`, `bearer_unknown`, \
         `login_needed`.",
    ),
    (
        "403",
        "NotAllowed",
        "The credentials do not cover this: `not_allowed`, `wider_than_yours`, `csrf`, \
         `origin_not_allowed`, `plain_connection`, `fresh_login`.",
    ),
    ("404", "NotFound", "Nothing has this name: `not_found`."),
    (
        "409",
        "Refused",
        "The state does not allow it: `refused`, `elsewhere`, `ambiguous`, `changed`.",
    ),
    ("413", "TooLarge", "The body has more than 64 KiB: `usage`."),
    ("429", "RateLimited", "Too often: `rate_limited`."),
    ("502", "Channel", "A channel has failed: `channel`."),
    (
        "503",
        "NotNow",
        "The gateway could not read or write its store, or lacks a key: `store`, `key`, \
         `clock_in_doubt`; with `cut_not_stored` the decision is in force, on live \
         connections too, and a restart loses it unless an automatic retry has stored it \
         before.",
    ),
];

fn errors() -> Value {
    let answer = |description: &str| {
        json!({
            "description": description,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorView"}}},
        })
    };
    let named = ERRORS.iter().map(|(_, name, text)| ((*name).to_owned(), answer(text)));
    let other = ("Failed".to_owned(), answer("Every other error."));
    Value::Object(named.chain([other]).collect())
}

/// An operation on its way into the document.
struct Operation<'a> {
    path: &'a str,
    method: &'a str,
    what: &'a mut Value,
}

/// The caller that an operation is for.
enum Needs {
    /// Nobody in particular.
    Nothing,
    /// The operator's socket.
    Socket,
    /// The companion of the session itself.
    Companion,
    /// The browser of the session itself.
    Browser,
    /// A role, or more.
    Role(Role),
}

impl Operation<'_> {
    fn needs(&self, method: &Method) -> Needs {
        let rest = self.path.strip_prefix("/api/v1/").unwrap_or_default();
        match rest.split('/').next().unwrap_or_default() {
            "openapi.json" => Needs::Nothing,
            "logins" => Needs::Socket,
            "session" => Needs::Companion,
            "operator" => Needs::Browser,
            _ => least_role(method, &sample(self.path)).map_or(Needs::Socket, Needs::Role),
        }
    }

    fn complete(self, schemas: &Value) {
        let method = Method::from_bytes(self.method.to_ascii_uppercase().as_bytes());
        let method = method.unwrap_or_default();
        let reads = method == Method::GET;
        let browser = if reads { json!({"cookie": []}) } else { json!({"cookie": [], "csrf": []}) };
        let (security, role) = match self.needs(&method) {
            Needs::Nothing => (json!([]), None),
            Needs::Socket => (json!([]), Some("local")),
            Needs::Companion => (json!([{"bearer": []}]), Some("companion")),
            Needs::Browser => (json!([browser]), Some("viewer")),
            Needs::Role(role) => (json!([{"bearer": []}, browser]), Some(role.as_str())),
        };
        let what = self.what;
        what["operationId"] = json!(id(self.method, self.path));
        what["security"] = security;
        if let Some(role) = role {
            what["x-handfast-role"] = json!(role);
        }
        if role.is_some() && destroys(&method, &sample(self.path)) {
            what["x-handfast-fresh-login"] = json!(true);
        }
        if let Some(body) = what.get_mut("requestBody") {
            // An empty body counts as an empty object.
            body["required"] = json!(requires_a_body(body, schemas));
        }
        parameters(self.path, what);
        responses(what, schemas, reads, role.is_some());
    }
}

/// Returns a path with something in the place of each parameter.
fn sample(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "x" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// Returns the name of an operation: its method, and its path without parameters.
fn id(method: &str, path: &str) -> String {
    let path = path.strip_prefix("/api/v1/").unwrap_or(path);
    let parts = path.split('/').map(|part| match part.strip_prefix('{') {
        Some(_) => "one".to_owned(),
        None => part.replace(['-', '.'], "_"),
    });
    format!("{method}_{}", parts.collect::<Vec<_>>().join("_"))
}

fn requires_a_body(body: &Value, schemas: &Value) -> bool {
    let name = body["content"]["application/json"]["schema"]["$ref"].as_str();
    let name = name.and_then(|name| name.rsplit('/').next()).unwrap_or_default();
    schemas[name]["required"].as_array().is_some_and(|required| !required.is_empty())
}

/// Adds the parameters of the path, which all are text.
fn parameters(path: &str, what: &mut Value) {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut all: Vec<Value> = names
        .map(|name| {
            let text = match name {
                "prefix" => "A whole name, or the beginning of an id.",
                "which" => "A whole name, or six or more characters of an id.",
                "id" => "An id, as lists show it.",
                "entry" => "Number of an entry, which begins at 0.",
                "delivery" => "Id of the delivery, as the answer with the secret tells it.",
                "channel" => "Name of a channel.",
                _ => "",
            };
            json!({
                "name": name, "in": "path", "required": true, "description": text,
                "schema": {"type": "string"},
            })
        })
        .collect();
    if let Some(Value::Array(query)) = what.get_mut("parameters") {
        all.append(query);
    }
    if !all.is_empty() {
        what["parameters"] = Value::Array(all);
    }
}

/// Describes the answers, and adds those of errors.
fn responses(what: &mut Value, schemas: &Value, reads: bool, guarded: bool) {
    let has = |what: &Value, part: &str| what.get(part).is_some();
    let (named, sends) = (has(what, "parameters"), has(what, "requestBody"));
    let Some(answers) = what.get_mut("responses").and_then(Value::as_object_mut) else { return };
    for answer in answers.values_mut() {
        if answer["description"].as_str().is_none_or(str::is_empty) {
            answer["description"] = json!(described(answer, schemas));
        }
    }
    for (status, name, _) in ERRORS {
        let may_be = match status {
            "400" => named || sends || guarded,
            "401" | "403" => guarded,
            "404" | "409" => named || !reads,
            "413" => sends,
            "502" => !reads && named,
            _ => true,
        };
        if may_be {
            let reference = format!("#/components/responses/{name}");
            answers.insert(status.to_owned(), json!({"$ref": reference}));
        }
    }
    answers.insert("default".to_owned(), json!({"$ref": "#/components/responses/Failed"}));
}

/// Returns the description of an answer: that of its body.
fn described(answer: &Value, schemas: &Value) -> String {
    let none = Map::new();
    let bodies = answer["content"].as_object().unwrap_or(&none).values();
    let names = bodies.filter_map(|body| body["schema"]["$ref"].as_str()?.rsplit('/').next());
    let texts = names.filter_map(|name| schemas[name]["description"].as_str());
    texts.map(str::to_owned).next().unwrap_or_else(|| "It was done.".to_owned())
}

#[cfg(test)]
mod tests;
