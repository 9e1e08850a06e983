use super::super::{ConfigError, ExtensionConfig, Extensions, MOST_EXTENSIONS, Services, validate};
use super::bare;

fn refused(change: impl FnOnce(&mut ExtensionConfig)) -> String {
    let mut config = bare("mail");
    change(&mut config);
    let error = validate(&[config.clone()]).unwrap_err();
    assert_eq!(
        super::Extension::new(config, std::sync::Arc::new(super::NoHost)).unwrap_err(),
        error
    );
    error.to_string()
}

fn list(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

#[test]
fn what_is_wrong_is_named_with_what_would_be_right() {
    let text = refused(|config| config.name = "My Mail".to_owned());
    assert_eq!(
        text,
        "extension \"My Mail\": name \"My Mail\" must be 1 to 32 of a-z, 0-9 and -, and begin with a letter or a digit"
    );
    assert_eq!(
        refused(|config| config.mounts = list(&["/pair"])),
        "extension \"mail\": mount \"/pair\" is the gateway's own; choose another"
    );
    for name in ["", "-a", "a_b", &"a".repeat(33), "é"] {
        assert!(refused(|config| config.name = name.to_owned()).contains("name"), "{name}");
    }
    for prefix in [
        "",
        "1a",
        "a-b",
        "a.b",
        "A",
        &"a".repeat(33),
        "pairing",
        "pairing_x",
        "setup",
        "inbound",
        "devices",
        "handfast",
    ] {
        assert!(refused(|config| config.prefix = prefix.to_owned()).contains("prefix"), "{prefix}");
    }
    for channel in ["", "Mail", "a b", "a|b", "_a"] {
        assert!(
            refused(|config| config.channels = list(&[channel])).contains("channel"),
            "{channel}"
        );
    }
    for admin in [
        "",
        "a.",
        ".a",
        "a..b",
        "A",
        "a b",
        "pairing",
        "pairing.x",
        "setup/x",
        "inbound_x",
        "admin",
    ] {
        assert!(
            refused(|config| config.admin = list(&[admin])).contains("admin method prefix"),
            "{admin}"
        );
    }
    for mount in [
        "", "/", "mail", "/mail/", "//mail", "/a/../b", "/.", "/a%2fb", "/a b", "/pair", "/pair/x",
        "/Pair", "/api/v1", "/health", "/ready", "/metrics", "/admin",
    ] {
        assert!(refused(|config| config.mounts = list(&[mount])).contains("mount"), "{mount}");
    }
    for url in [
        "",
        "x",
        "ftp://a/",
        "http://",
        "http://u@a/",
        "http://u:p@a/",
        "http://a/#x",
        "unix:/x",
        "https:///",
    ] {
        assert!(
            refused(|config| *config = ExtensionConfig::http("mail", "mail", url)).contains("url"),
            "{url}"
        );
    }
    for command in [&[][..], &[""], &["a\0"], &["a", "b\0"]] {
        assert!(
            refused(|config| *config = ExtensionConfig::stdio("mail", "mail", command))
                .contains("command"),
            "{command:?}"
        );
    }
    assert!(
        refused(|config| config.poll = Some(std::time::Duration::from_millis(99)))
            .contains("too often")
    );
    assert!(
        refused(|config| config.timeouts.call = std::time::Duration::ZERO).contains("call timeout")
    );
    assert!(
        refused(|config| config.timeouts.poll = std::time::Duration::from_secs(601))
            .contains("poll timeout")
    );
    for field in ["channel", "admin method prefix", "mount"] {
        let text = refused(|config| match field {
            "channel" => config.channels = list(&["a", "b", "a"]),
            "mount" => config.mounts = list(&["/a", "/a"]),
            _ => config.admin = list(&["a", "a"]),
        });
        assert!(text.contains(field) && text.contains("twice"), "{text}");
    }
}

#[test]
fn two_extensions_never_want_the_same() {
    let pair = |change: &dyn Fn(&mut ExtensionConfig)| {
        let mut both = [bare("first"), bare("second")];
        both.iter_mut().for_each(change);
        both
    };
    let said = |configs: &[ExtensionConfig]| validate(configs).unwrap_err().to_string();
    assert_eq!(
        said(&pair(&|config| config.mounts = list(&["/mail"]))),
        "extensions \"first\" and \"second\" both have the mount \"/mail\"; give one of them another"
    );
    assert!(said(&pair(&|config| config.name = "same".to_owned())).contains("name"));
    assert!(said(&pair(&|config| config.prefix = "same".to_owned())).contains("prefix"));
    assert!(said(&pair(&|config| config.channels = list(&["mail"]))).contains("channel"));
    assert!(said(&pair(&|config| config.admin = list(&["mail"]))).contains("admin method prefix"));

    let prefixes = |first: &str, second: &str| {
        let mut both = pair(&|_| ());
        (both[0].prefix, both[1].prefix) = (first.to_owned(), second.to_owned());
        validate(&both)
    };
    assert!(matches!(prefixes("mail", "mail_in"), Err(ConfigError::Twice { field: "prefix", .. })));
    assert!(matches!(prefixes("mail_in", "mail"), Err(ConfigError::Twice { field: "prefix", .. })));
    assert_eq!(prefixes("mail", "mails"), Ok(()));

    let many: Vec<_> = (0..=MOST_EXTENSIONS).map(|n| bare(&format!("e{n}"))).collect();
    assert_eq!(validate(&many), Err(ConfigError::TooMany(MOST_EXTENSIONS + 1)));
    assert_eq!(validate(&many[1..]), Ok(()));
}

#[test]
fn a_set_has_its_parts_by_name() {
    let mut config = bare("mail");
    (config.channels, config.admin, config.mounts) =
        (list(&["mail", "post"]), list(&["mail"]), list(&["/mail"]));
    let extensions = Extensions::new(vec![bare("other"), config], Services::default()).unwrap();
    let channels: Vec<String> =
        extensions.channels().iter().map(|channel| channel.channel().to_owned()).collect();
    assert_eq!(channels, ["mail", "post"]);
    assert_eq!(extensions.router().find("mail.x").unwrap().config().name, "mail");
    assert_eq!(extensions.proxy().find("/mail/x").unwrap().config().name, "mail");
    assert_eq!(extensions.get("other").unwrap().config().prefix, "other");
    assert!(extensions.get("nobody").is_none());
    assert_eq!(format!("{extensions:?}"), "[Extension(\"other\"), Extension(\"mail\")]");
}
