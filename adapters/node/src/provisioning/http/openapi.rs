//! The description of the API for programs (OpenAPI 3.1), and a page for people.

use serde_json::{Map, Value, json};

/// A schema: its name, and its fields, each with its type and whether it is required.
type Schema = (&'static str, &'static [(&'static str, &'static str, bool)]);

const SCHEMAS: [Schema; 9] = [
    (
        "NodeInfo",
        &[
            ("node_id", "string", true),
            ("firmware_version", "string", true),
            ("hardware", "string", true),
            ("mac_address", "string", true),
            ("capabilities", "strings", false),
            ("state", "ProvisioningState", true),
            ("previously_provisioned", "boolean", false),
        ],
    ),
    (
        "NetworkInfo",
        &[
            ("ssid", "string", true),
            ("signal_strength", "integer", true),
            ("security", "string", true),
        ],
    ),
    ("ScanNetworksResponse", &[("networks", "NetworkInfos", true)]),
    (
        "ProvisionRequest",
        &[
            ("wifi_ssid", "string", true),
            ("wifi_password", "string", true),
            ("room", "string", true),
            ("command_center_url", "string", true),
            ("household_id", "string", true),
            ("node_id", "string", true),
            ("provisioning_token", "string", true),
            ("config_service_url", "string?", false),
            ("wifi_country", "string?", false),
        ],
    ),
    (
        "NetworkRequest",
        &[
            ("wifi_ssid", "string", true),
            ("wifi_password", "string", true),
            ("wifi_country", "string?", false),
        ],
    ),
    ("ProvisionResponse", &[("success", "boolean", true), ("message", "string", true)]),
    (
        "ProvisionStatus",
        &[
            ("state", "ProvisioningState", true),
            ("message", "string", true),
            ("progress_percent", "percent", true),
            ("error", "string?", false),
        ],
    ),
    (
        "K2ProvisionRequest",
        &[
            ("node_id", "string", true),
            ("kid", "string", true),
            ("k2", "string", true),
            ("created_at", "time", true),
        ],
    ),
    (
        "K2ProvisionResponse",
        &[
            ("success", "boolean", true),
            ("node_id", "string?", false),
            ("kid", "string?", false),
            ("error", "string?", false),
        ],
    ),
];

/// A route: its method, its path, what it does, its request and its answer.
type Route = (&'static str, &'static str, &'static str, Option<&'static str>, &'static str);

const ROUTES: [Route; 7] = [
    ("get", "/api/v1/info", "Describe the node", None, "NodeInfo"),
    ("get", "/api/v1/scan-networks", "List the networks in reach", None, "ScanNetworksResponse"),
    (
        "post",
        "/api/v1/provision",
        "Give the node its network and its command center",
        Some("ProvisionRequest"),
        "ProvisionResponse",
    ),
    (
        "post",
        "/api/v1/provision/k2",
        "Give the node the key K2",
        Some("K2ProvisionRequest"),
        "K2ProvisionResponse",
    ),
    (
        "post",
        "/api/v1/provision/network",
        "Move a provisioned node to another network; all else stays",
        Some("NetworkRequest"),
        "ProvisionResponse",
    ),
    ("get", "/api/v1/status", "Tell how far the node is", None, "ProvisionStatus"),
    ("post", "/api/v1/factory-reset", "Forget everything but K1", None, "FactoryResetResponse"),
];

/// Returns the document.
pub(super) fn document() -> Value {
    let mut schemas: Map<String, Value> =
        SCHEMAS.iter().map(|schema| (schema.0.to_owned(), of_schema(schema))).collect();
    schemas.insert(
        "ProvisioningState".to_owned(),
        json!({
            "type": "string",
            "title": "ProvisioningState",
            "enum": ["AP_MODE", "CONNECTING", "REGISTERING", "PROVISIONED", "ERROR"],
        }),
    );
    let mut paths = Map::new();
    for (method, path, summary, request, answer) in ROUTES {
        let mut operation = json!({
            "summary": summary,
            "responses": { "200": { "description": "Done", "content": content(answer) } },
        });
        if let Some(request) = request {
            operation["requestBody"] = json!({ "required": true, "content": content(request) });
            operation["responses"]["422"] = json!({ "description": "A field is missing or wrong" });
        }
        paths.insert(path.to_owned(), json!({ method: operation }));
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Handfast node provisioning", "version": env!("CARGO_PKG_VERSION") },
        "paths": paths,
        "components": { "schemas": schemas },
    })
}

fn content(schema: &str) -> Value {
    // The dialect names no schema for the answer to a factory reset.
    let schema = if schema == "FactoryResetResponse" {
        json!({ "type": "object", "properties": {
            "success": { "type": "boolean" },
            "cleared": { "type": "array", "items": { "type": "string" } },
            "error": of_type("string?"),
        }})
    } else {
        reference(schema)
    };
    json!({ "application/json": { "schema": schema } })
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn of_schema((name, fields): &Schema) -> Value {
    let properties: Map<String, Value> =
        fields.iter().map(|(field, kind, _)| ((*field).to_owned(), of_type(kind))).collect();
    let required: Vec<_> =
        fields.iter().filter(|(_, _, required)| *required).map(|(field, ..)| *field).collect();
    json!({ "type": "object", "title": name, "properties": properties, "required": required })
}

fn of_type(kind: &str) -> Value {
    match kind {
        "string?" => json!({ "anyOf": [{ "type": "string" }, { "type": "null" }] }),
        "strings" => json!({ "type": "array", "items": { "type": "string" } }),
        "NetworkInfos" => json!({ "type": "array", "items": reference("NetworkInfo") }),
        "percent" => json!({ "type": "integer", "minimum": 0, "maximum": 100 }),
        "time" => json!({ "type": "string", "format": "date-time" }),
        "string" | "boolean" | "integer" => json!({ "type": kind }),
        schema => reference(schema),
    }
}

/// Returns the page. It loads nothing, because a phone reads it without the internet.
pub(super) fn page() -> String {
    let mut rows = String::new();
    for (method, path, summary, request, answer) in ROUTES {
        let method = method.to_uppercase();
        let request = request.unwrap_or("–");
        rows.push_str(&format!(
            "<tr><td><code>{method} {path}</code></td><td>{summary}</td><td>{request}</td>\
             <td>{answer}</td></tr>\n"
        ));
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>Handfast node provisioning</title>\n\
         <h1>Handfast node provisioning</h1>\n\
         <p>This API is unprotected: use it only while you set the node up. \
         Programs read <a href=\"/openapi.json\">openapi.json</a>.</p>\n\
         <table>\n<tr><th>Request</th><th>What it does</th><th>Body</th><th>Answer</th></tr>\n\
         {rows}</table>\n</html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_the_dialects_schemas_and_every_reference_leads_to_one() {
        let document = document();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for name in [
            "NodeInfo",
            "NetworkInfo",
            "ScanNetworksResponse",
            "ProvisionRequest",
            "ProvisionResponse",
            "ProvisionStatus",
            "K2ProvisionRequest",
            "K2ProvisionResponse",
            "ProvisioningState",
        ] {
            assert!(schemas.contains_key(name), "{name}");
        }
        let text = document.to_string();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(schemas.contains_key(name), "{name}");
        }
        let required = document["components"]["schemas"]["ProvisionRequest"]["required"].clone();
        assert_eq!(required.as_array().unwrap().len(), 7);
    }
}
