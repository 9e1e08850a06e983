//! Rules of the design that a compiler does not check.

mod adapters;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Layers of core: later ones may use earlier ones. Flows and links form one layer, because a flow
/// ends in a link.
const LAYERS: [&[&str]; 5] = [&["crypto"], &["wire"], &["grant"], &["registry"], &["flow", "link"]];
/// Base modules: all layers may use them, and they use only each other.
const BASE: [&str; 9] =
    ["step", "time", "entropy", "secret", "serial", "id", "error", "limits", "text"];
/// A base module that may also use the limits on which its values depend.
const BASE_TOO: &str = "budget";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("host-tests stands in the repository")
        .to_owned()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Returns the code of a file without comments and without the unit tests at its end.
fn code(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("a source file reads");
    let tests = ["#[cfg(test)]\nmod tests", "#[cfg(test)]\npub(crate) mod tests"];
    let end = tests.iter().filter_map(|head| text.find(head)).min().unwrap_or(text.len());
    let until_tests = &text[..end];
    until_tests.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned()).collect()
}

/// Returns the modules of the crate that a line names.
fn named(line: &str) -> Vec<String> {
    let word = |rest: &str| {
        rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
    };
    line.split("crate::").skip(1).map(word).filter(|module| !module.is_empty()).collect()
}

#[test]
fn in_the_core_every_use_points_along_the_arrow() {
    let folder = root().join("core/src");
    let layer = |module: &str| LAYERS.iter().position(|layer| layer.contains(&module));
    let is_base = |module: &str| BASE.contains(&module) || module == BASE_TOO;
    let mut wrong = Vec::new();
    for path in sources(&folder) {
        let relative = path.strip_prefix(&folder).expect("within");
        let module = relative
            .iter()
            .next()
            .and_then(|part| part.to_str())
            .unwrap_or_default()
            .trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        assert!(
            is_base(module) || layer(module).is_some(),
            "{module} stands nowhere on the arrow; add it to this test"
        );
        for (number, line) in code(&path).iter().enumerate() {
            for used in named(line) {
                let fine = match (layer(module), layer(&used)) {
                    (_, None) => is_base(&used),
                    (Some(from), Some(to)) => to <= from,
                    (None, Some(_)) => false,
                };
                if !fine {
                    wrong.push(format!(
                        "{}:{}: {module} uses {used}",
                        relative.display(),
                        number + 1
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn core_and_edge_use_neither_the_standard_library_nor_an_allocator_nor_unsafe_code() {
    let mut wrong = Vec::new();
    for crate_name in ["core", "adapters/edge"] {
        let folder = root().join(crate_name).join("src");
        let entry = fs::read_to_string(folder.join("lib.rs")).expect("lib.rs reads");
        assert!(entry.contains("#![no_std]"), "{crate_name} is no_std");
        for path in sources(&folder) {
            // Flash in a file, behind edge's feature `std`, needs files.
            let is_file = path.ends_with("prototype/file.rs");
            if is_file || path.file_stem().is_some_and(|stem| stem == "tests") {
                continue;
            }
            for (number, line) in code(&path).iter().enumerate() {
                let words: BTreeSet<&str> =
                    line.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
                let names = |library: &str| {
                    line.contains(&format!("{library}::")) && words.contains(library)
                };
                if names("std") || names("alloc") || words.contains("unsafe") {
                    wrong.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Returns the types of a file that print themselves by this trait, derived or written by hand.
fn printed_by(code: &[String], by: &str) -> BTreeSet<String> {
    let word = |rest: &str| {
        rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
    };
    let by_hand = format!("{by} for ");
    let mut found = BTreeSet::new();
    let mut attributes = String::new();
    for line in code.iter().map(|line| line.trim()).filter(|line| !line.is_empty()) {
        found.extend(line.split_once(&by_hand).map(|(_, name)| word(name)));
        if line.starts_with("#[")
            || attributes.matches('[').count() > attributes.matches(']').count()
        {
            attributes.push_str(line);
            continue;
        }
        let names = ["struct ", "enum "].iter().find_map(|kind| line.split_once(kind));
        if attributes.contains(by) {
            found.extend(names.map(|(_, name)| word(name)));
        }
        attributes.clear();
    }
    found
}

/// A board logs through defmt. The check of the bare targets compiles all of it.
#[test]
fn whatever_core_and_edge_can_print_a_board_can_log() {
    let mut wrong = Vec::new();
    for path in
        ["core/src", "adapters/edge/src"].iter().flat_map(|path| sources(&root().join(path)))
    {
        if path.file_stem().is_some_and(|stem| stem == "tests") {
            continue;
        }
        let code = code(&path);
        let (shown, logged) = (printed_by(&code, "Debug"), printed_by(&code, "defmt::Format"));
        for name in shown.difference(&logged) {
            wrong.push(format!("{}: {name} has no defmt::Format", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Returns the `key = value` lines of one section of a manifest, each value with its version only.
fn section(manifest: &str, name: &str) -> BTreeMap<String, String> {
    let header = format!("[{name}]");
    let lines = manifest
        .lines()
        .skip_while(|line| line.trim() != header)
        .skip(1)
        .take_while(|line| !line.starts_with('['));
    let pairs = lines.filter_map(|line| line.split('#').next().unwrap_or_default().split_once('='));
    pairs.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect()
}

/// Returns the version in `"1.2"` or `{ version = "1.2", … }`.
fn version(value: &str) -> Option<String> {
    let from = value.split_once("version").map_or(value, |(_, rest)| rest);
    let named = value.starts_with('"') || value.contains("version");
    named.then(|| from.split('"').nth(1).map(str::to_owned)).flatten()
}

#[test]
fn the_three_workspaces_agree_on_versions_and_lints() {
    let read = |path: &str| {
        fs::read_to_string(root().join(path)).unwrap_or_else(|_| panic!("{path} reads"))
    };
    let main = read("Cargo.toml");
    let mut wrong = Vec::new();
    for path in ["firmware/Cargo.toml", "fuzz/Cargo.toml"] {
        let other = read(path);
        for key in ["edition", "rust-version", "license", "version"] {
            let name = "workspace.package";
            if section(&other, name).get(key) != section(&main, name).get(key) {
                wrong.push(format!("{path}: {key}"));
            }
        }
        for (name, value) in section(&other, "workspace.dependencies") {
            let ours = section(&main, "workspace.dependencies")
                .get(&name)
                .and_then(|value| version(value));
            if let (Some(ours), Some(theirs)) = (ours, version(&value))
                && ours != theirs
            {
                wrong.push(format!("{path}: {name} {theirs}, not {ours}"));
            }
        }
        for lints in ["workspace.lints.rust", "workspace.lints.clippy"] {
            for (name, level) in section(&other, lints) {
                if section(&main, lints).get(&name).is_some_and(|ours| *ours != level) {
                    wrong.push(format!("{path}: lint {name} = {level}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_top_level_holds_only_what_the_design_names() {
    let allowed = [
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "core",
        "adapters",
        "firmware",
        "host-tests",
        "fuzz",
        // Cargo creates this folder; it is never committed.
        "target",
    ];
    let entries = fs::read_dir(root()).expect("the repository reads").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let strangers: Vec<String> =
        names.filter(|name| !name.starts_with('.') && !allowed.contains(&name.as_str())).collect();
    assert!(strangers.is_empty(), "{strangers:?} can stand elsewhere or be hidden");
}

/// Project crates that each crate may use; a crate that is absent here may use any.
const USES: [(&str, &[&str]); 7] = [
    ("core", &[]),
    ("adapters/private-file", &[]),
    ("adapters/public-url", &["handfast-core"]),
    ("adapters/qr", &["handfast-private-file"]),
    ("adapters/web", &["handfast-core"]),
    ("adapters/store", &["handfast-core", "handfast-private-file"]),
    (
        "adapters/node",
        &[
            "handfast-core",
            "handfast-private-file",
            "handfast-public-url",
            "handfast-qr",
            "handfast-stdio",
        ],
    ),
];

#[test]
fn the_crates_below_use_only_those_that_are_named_for_them() {
    for (folder, allowed) in USES {
        let manifest =
            fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("a manifest reads");
        let used = section(&manifest, "dependencies");
        let ours: Vec<&str> = used
            .keys()
            .filter_map(|name| name.split('.').next())
            .filter(|name| name.starts_with("handfast"))
            .collect();
        assert_eq!(ours, allowed, "{folder}");
    }
}

/// A gateway never runs the suite of the stores.
#[test]
fn only_tests_have_the_conformance_suite_of_the_stores() {
    for folder in ["store", "server", "node", "cli"] {
        let manifest = root().join("adapters").join(folder).join("Cargo.toml");
        let manifest = fs::read_to_string(manifest).expect("a manifest reads");
        let used = section(&manifest, "dependencies");
        let wants = used.values().any(|value| value.contains("conformance"));
        let features = section(&manifest, "features");
        let by_default = features.get("default").is_some_and(|list| list.contains("conformance"));
        assert!(!wants && !by_default, "{folder} has it in a release");
    }
    let store = root().join("adapters/store");
    let entry = fs::read_to_string(store.join("src/lib.rs")).expect("lib.rs reads");
    let behind = "#[cfg(any(test, feature = \"conformance\"))]\npub mod conformance;";
    assert!(entry.contains(behind), "the suite is behind the feature");
}

#[test]
fn the_stores_files_are_opened_and_written_by_the_crate_for_private_files_alone() {
    let mut wrong = Vec::new();
    for path in sources(&root().join("adapters/store/src")) {
        for (number, line) in code(&path).iter().enumerate() {
            if ["OpenOptions", "create_new(true)", "custom_flags", "NOFOLLOW"]
                .iter()
                .any(|word| line.contains(word))
            {
                wrong.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_crate_that_is_published_is_described_and_carries_its_licences() {
    let adapters = fs::read_dir(root().join("adapters")).expect("the adapters read");
    let folders = adapters.map(|entry| entry.expect("an entry reads").path());
    let mut missing = Vec::new();
    for folder in folders.chain([root().join("core")]) {
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).expect("a manifest reads");
        let package = section(&manifest, "package");
        for key in ["description", "readme", "keywords", "categories", "license.workspace"] {
            if !package.contains_key(key) {
                missing.push(format!("{}: {key}", folder.display()));
            }
        }
        for file in ["README.md", "LICENSE-MIT", "LICENSE-APACHE"] {
            // A link into a folder that is not there would leave the package without its licence.
            if fs::read_to_string(folder.join(file)).is_err() {
                missing.push(format!("{}: {file}", folder.display()));
            }
        }
    }
    assert!(missing.is_empty(), "a package lacks: {missing:#?}");
}

/// Fields of formats that hold a secret: the file, and the line behind the attribute.
const SECRET_FIELDS: [(&str, &str); 5] = [
    ("adapters/edge/src/native/memory.rs", "Secret<64>"),
    ("adapters/web/src/record.rs", "keys: Secret<64>"),
    ("core/src/flow/registration/node/contract.rs", "token: Token"),
    ("core/src/wire/native/pair.rs", "BootstrapToken<'b>"),
    ("core/src/wire/native/pair.rs", "pub token: Option<Token>"),
];

#[test]
fn every_secret_field_of_a_format_is_listed_and_names_the_module_that_exposes_it() {
    let mut found = Vec::new();
    let folders = ["core/src", "adapters/edge/src", "adapters/web/src", "firmware/app/src"];
    for path in folders.iter().flat_map(|folder| sources(&root().join(folder))) {
        let file = path.strip_prefix(root()).expect("within").display().to_string();
        let lines = code(&path);
        for (number, line) in lines.iter().enumerate() {
            let Some((_, behind)) = line.split_once("secret::exposed\")]") else { continue };
            let next = lines.get(number + 1).map_or("", |next| next.trim());
            let field = if behind.trim().is_empty() { next } else { behind.trim() };
            let field = field.trim_end_matches([',', ';', ')']);
            found.push((file.clone(), field.to_owned()));
        }
    }
    found.sort();
    let listed = SECRET_FIELDS.map(|(file, field)| (file.to_owned(), field.to_owned()));
    assert_eq!(found, listed, "write a secret only into a buffer that is wiped or sealed");
}
