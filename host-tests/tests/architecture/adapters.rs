//! The order of the modules in each adapter.

use super::{code, named, root, sources};

/// Modules of the other crates, from the lowest to the highest: a module uses only those before it,
/// so there is no cycle. Names at a crate's root are not modules and may be used by all.
const ORDER: [(&str, &[&str]); 6] = [
    (
        "store",
        &[
            "error",
            "value",
            "prefix",
            "audit",
            "rules",
            "makers",
            "node",
            "pairing",
            "time",
            "vault",
            "deliveries",
            "sessions",
            "logins",
            "certificates",
            "clones",
            "replacements",
            "known_keys",
            "addresses",
            "dispatches",
            "inbound",
            "policies",
            "provisioning",
            "shared",
            "store",
            "ops",
            "transfer",
            "conformance",
            "held",
            "memory",
            "rows",
            "postgres",
            "sqlite",
            "copy",
        ],
    ),
    (
        "server",
        &[
            "clock",
            "entropy",
            "hex",
            "checkpoint",
            "events",
            "proxies",
            "keys",
            "ca",
            "moving",
            "telemetry",
            "connection",
            "inbound",
            "policy",
            "application",
            "no_extensions",
            "extension",
            "gateway",
            "pairing",
            "operator",
            "builder",
            "flows",
            "http",
            "listen",
        ],
    ),
    (
        "node",
        &[
            "clock",
            "discovery",
            "event",
            "gateway_url",
            "seal",
            "capability",
            "state",
            "tls",
            "token_file",
            "waits",
            "connection",
            "driver",
            "standing",
            "tokens",
            "companion",
            "native",
            "provisioning",
            "registration",
        ],
    ),
    (
        "edge",
        &[
            "error",
            "pages",
            "transport",
            "ports",
            "words",
            "write_buffer",
            "blocking",
            "embassy",
            "random",
            "select",
            "driver",
            "websocket",
            "native",
            "registration",
            "prototype",
        ],
    ),
    (
        "web",
        &[
            "fields",
            "call",
            "phone_call",
            "reply",
            "event",
            "companion",
            "texts",
            "record",
            "token",
            "clock",
            "node",
            "peers",
            "phone",
            "instance",
            "boundary",
        ],
    ),
    (
        "cli",
        &[
            "config",
            "confirm",
            "qemu",
            "args",
            "data",
            "hints",
            "groups",
            "gateway_time",
            "client",
            "delivery",
            "print",
            "links",
            "definitions",
            "table",
            "audit",
            "backup",
            "clock",
            "companion",
            "import",
            "senders",
            "asked",
            "certs",
            "dispatch",
            "moving",
            "nodes",
            "companions",
            "token",
            "events",
            "codes",
            "login",
            "operators",
            "policies",
            "pending",
            "gateway_key",
            "status",
            "extensions",
            "serve",
            "store",
            "configuration",
            "doctor",
            "watch",
            "demo",
        ],
    ),
];

#[test]
fn in_every_adapter_modules_use_only_those_below_them() {
    let mut wrong = Vec::new();
    for (name, order) in ORDER {
        let folder = root().join("adapters").join(name).join("src");
        let place = |module: &str| order.iter().position(|other| *other == module);
        for path in sources(&folder) {
            let relative = path.strip_prefix(&folder).expect("within");
            let parts: Vec<_> = relative.iter().filter_map(|part| part.to_str()).collect();
            let module = parts[0].trim_end_matches(".rs");
            let is_test = parts.iter().any(|part| part.trim_end_matches(".rs").ends_with("tests"));
            if is_test || ["lib", "main", "bin"].contains(&module) {
                continue;
            }
            let Some(own) = place(module) else {
                wrong.push(format!("{name}: {module} has no place in the order; give it one"));
                continue;
            };
            for (number, line) in code(&path).iter().enumerate() {
                let above = |used: &&String| place(used).is_some_and(|used| used > own);
                for used in named(line).iter().filter(above) {
                    let shown = relative.display();
                    wrong.push(format!("{name}/src/{shown}:{}: {module} uses {used}", number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
