//! Scopes: the tables of the specification, the errors, and the subset relation against brute
//! force.

use handfast_core::grant::scope::{
    Action, Address, Pattern, PatternBuf, Scope, ScopeError, Scopes, ScopesBuf,
};
use handfast_core::limits::{PATH_BYTES, PATH_SEGMENTS, SCOPES, SCOPES_BYTES};
use handfast_host_tests::prng::Prng;
use handfast_host_tests::scopes::{
    STRANGER, address_outside, any_lines, lists, matches, path, patterns,
};

fn address(text: &str) -> Address<'_> {
    Address::parse(text).unwrap()
}

fn pattern(text: &str) -> Pattern<'_> {
    Pattern::parse(text).unwrap()
}

fn scopes<'b>(texts: &[&'b str]) -> Scopes<'b> {
    Scopes::parse(texts.iter().copied()).unwrap()
}

#[test]
fn patterns_allow_and_refuse_what_the_page_says() {
    let table: [(&str, &[&str], &[&str]); 9] = [
        ("/lights/*", &["/lights/room1"], &["/lights", "/lights/room1/brightness", "/"]),
        ("/lights/**", &["/lights", "/lights/a/b/c/d"], &["/lightsX", "/audio/x", "/", "/light"]),
        (
            "/lights/room1",
            &["/lights/room1"],
            &["/lights/room1/brightness", "/lights/room2", "/lights"],
        ),
        ("/**", &["/", "/a", "/a/b"], &[]),
        (
            "/a/**/opacity",
            &["/a/opacity", "/a/x/y/opacity"],
            &["/a/x/color", "/a", "/opacity", "/a/opacity/x"],
        ),
        ("/a/*/c/**", &["/a/x/c", "/a/x/c/d"], &["/a/c", "/a/x/d"]),
        ("/**/x", &["/x", "/a/b/x"], &["/x/y", "/"]),
        ("/", &["/"], &["/a"]),
        ("/a/**/a", &["/a/a", "/a/b/a", "/a/a/a"], &["/a"]),
    ];
    for (text, allowed, refused) in table {
        for yes in allowed {
            assert!(pattern(text).matches(&address(yes)), "{text} allows {yes}");
        }
        for no in refused {
            assert!(!pattern(text).matches(&address(no)), "{text} refuses {no}");
        }
    }
}

#[test]
fn one_pattern_is_a_subset_of_another_where_the_page_says_so() {
    let yes = [
        ("/lights/room1/**", "/lights/**"),
        ("/lights/1", "/lights/*"),
        ("/", "/**"),
        ("/a/**", "/**/*"),
        ("/**", "/**"),
        ("/lights/*", "/lights/**"),
        ("/*/**", "/**/*"),
        ("/a/*/c", "/a/**/c"),
    ];
    let no = [
        ("/**", "/lights/**"),
        ("/lights/**", "/lights/*"),
        ("/a/*", "/a/b"),
        ("/lights/**", "/lights/**/level"),
        ("/**", "/*"),
        ("/**", "/**/*"),
        ("/*", "/"),
        ("/a/b", "/a/**/b/b"),
    ];
    for (child, parent) in yes {
        assert!(pattern(parent).covers(&pattern(child)), "{child} lies within {parent}");
    }
    for (child, parent) in no {
        assert!(!pattern(parent).covers(&pattern(child)), "{child} does not lie within {parent}");
    }
}

/// Returns a bit for each address: set if the pattern matches it.
fn bits(addresses: &[Vec<&str>], tokens: &[&str]) -> Vec<u64> {
    let bit = |address: &Vec<&str>| u64::from(matches(tokens, address));
    addresses
        .chunks(64)
        .map(|chunk| chunk.iter().rev().fold(0, |word, address| word << 1 | bit(address)))
        .collect()
}

#[test]
fn of_all_small_patterns_one_covers_another_exactly_if_brute_force_finds_no_address_between_them() {
    // Two patterns of three letters and wildcards each differ at some address of at most six
    // segments.
    let addresses = lists(&["a", "b", STRANGER], 6);
    let patterns: Vec<(String, Vec<&str>)> =
        patterns(&["a", "b"], 3).into_iter().map(|tokens| (path(&tokens), tokens)).collect();
    let texts: Vec<String> = addresses.iter().map(|address| path(address)).collect();
    let allowed: Vec<Vec<u64>> =
        patterns.iter().map(|(_, tokens)| bits(&addresses, tokens)).collect();
    for ((text, _), bits) in patterns.iter().zip(&allowed) {
        for (at, address) in texts.iter().enumerate() {
            let expected = bits[at / 64] >> (at % 64) & 1 == 1;
            assert_eq!(
                pattern(text).matches(&Address::parse(address).unwrap()),
                expected,
                "{text} {address}"
            );
        }
    }
    let mut subsets = 0;
    for ((parent, parents_tokens), parents) in patterns.iter().zip(&allowed) {
        for ((child, childs_tokens), childs) in patterns.iter().zip(&allowed) {
            let expected = childs.iter().zip(parents).all(|(child, parent)| child & !parent == 0);
            subsets += u32::from(expected);
            assert_eq!(pattern(parent).covers(&pattern(child)), expected, "{parent} {child}");
            assert_eq!(
                address_outside(childs_tokens, parents_tokens).is_none(),
                expected,
                "the reference: {parent} {child}"
            );
        }
    }
    assert!(subsets > 1000, "{subsets} of {} pairs", patterns.len().pow(2));
}

/// Returns a pattern, and one derived from it by a few changes, so that about half of such pairs
/// are subsets.
fn related(prng: &mut Prng) -> (Vec<&'static str>, Vec<&'static str>) {
    let word = |prng: &mut Prng| prng.pick(&["a", "b", "*", "*"]);
    let mut parent: Vec<&str> = (0..prng.below(7)).map(|_| prng.pick(&["a", "b", "*"])).collect();
    if !prng.one_in(4) {
        parent.insert(prng.below(parent.len() as u64 + 1) as usize, "**");
    }
    let mut child = Vec::new();
    for token in &parent {
        match *token {
            "**" => {
                let (before, after) = (prng.below(3), prng.below(3));
                child.extend((0..before).map(|_| word(prng)));
                child.extend((!prng.one_in(3)).then_some("**"));
                child.extend((0..after).map(|_| word(prng)));
            }
            "*" => child.push(word(prng)),
            letter => child.push(letter),
        }
    }
    if !prng.one_in(4) && !child.is_empty() {
        let at = prng.below(child.len() as u64) as usize;
        match prng.below(3) {
            0 => drop(child.remove(at)),
            1 if child[at] != "**" => child[at] = word(prng),
            _ => child.insert(at, prng.pick(&["a", "b"])),
        }
    }
    (parent, child)
}

#[test]
fn of_thousands_of_longer_patterns_one_covers_another_exactly_if_no_address_lies_between_them() {
    let mut prng = Prng::new(0x5c0_9e5);
    let mut subsets = 0;
    for _ in 0..20_000 {
        let (parent, child) = related(&mut prng);
        let outside = address_outside(&child, &parent);
        let (parent, child) = (path(&parent), path(&child));
        let (parent, child) = (pattern(&parent), pattern(&child));
        assert_eq!(parent.covers(&child), outside.is_none(), "{parent} {child} {outside:?}");
        if let Some(outside) = &outside {
            let outside = address(outside);
            assert!(
                child.matches(&outside) && !parent.matches(&outside),
                "{parent} {child} {outside}"
            );
        }
        subsets += u32::from(outside.is_none());
    }
    assert!((4_000..16_000).contains(&subsets), "{subsets} of 20000 are subsets");
}

#[test]
fn a_set_that_covers_another_allows_all_that_the_other_allows() {
    let mut prng = Prng::new(0xc07e5);
    let addresses: Vec<String> =
        lists(&["a", "b", STRANGER], 4).iter().map(|address| path(address)).collect();
    let actions = [Action::Read, Action::Write, Action::Admin];
    let mut covered = 0;
    for _ in 0..2_000 {
        let (mut mine, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..=prng.below(2) {
            let (parent, child) = related(&mut prng);
            mine.push(format!("{}:{}", prng.pick(&actions), path(&parent)));
            theirs.push(format!("{}:{}", prng.pick(&actions), path(&child)));
        }
        let mine = Scopes::parse(mine.iter().map(String::as_str)).unwrap();
        let theirs = Scopes::parse(theirs.iter().map(String::as_str)).unwrap();
        if !mine.covers(&theirs) {
            continue;
        }
        covered += 1;
        for text in &addresses {
            for action in actions {
                let address = address(text);
                assert!(
                    mine.allows(action, &address) || !theirs.allows(action, &address),
                    "{mine:?} {theirs:?} {action} {address}"
                );
            }
        }
    }
    assert!(covered > 200, "{covered} of 2000 are covered");
}

#[test]
fn each_mistake_in_a_path_has_its_own_error() {
    let long = format!("/{}", "x".repeat(PATH_BYTES));
    let deep = "/x".repeat(PATH_SEGMENTS + 1);
    let both = [
        ("", ScopeError::NotAbsolute),
        ("lights", ScopeError::NotAbsolute),
        ("a/b", ScopeError::NotAbsolute),
        (" /a", ScopeError::NotAbsolute),
        (&long, ScopeError::TooLong),
        (&deep, ScopeError::TooDeep),
        ("/a/", ScopeError::TrailingSlash),
        ("//", ScopeError::TrailingSlash),
        ("//a", ScopeError::EmptySegment),
        ("/a//b", ScopeError::EmptySegment),
        ("/.", ScopeError::DotSegment),
        ("/a/../b", ScopeError::DotSegment),
        ("/a\n/b", ScopeError::Character),
        ("/a\0", ScopeError::Character),
        ("/\u{202e}a", ScopeError::Character),
    ];
    for (text, error) in both {
        assert_eq!(Address::parse(text), Err(error), "{text:?}");
        assert_eq!(Pattern::parse(text), Err(error), "{text:?}");
    }
    for text in ["/*", "/**", "/a*", "/a/*/b", "/***"] {
        assert_eq!(Address::parse(text), Err(ScopeError::WildcardInAddress), "{text:?}");
    }
    for text in ["/a*", "/*a", "/***", "/a/b*c/d", "/****"] {
        assert_eq!(Pattern::parse(text), Err(ScopeError::PartialWildcard), "{text:?}");
    }
    for text in ["/**/**", "/a/**/b/**", "/**/*/**"] {
        assert_eq!(Pattern::parse(text), Err(ScopeError::SecondSpread), "{text:?}");
    }
}

#[test]
fn paths_up_to_the_bounds_parse_and_stay_as_they_were_written() {
    let long = format!("/{}", "x".repeat(PATH_BYTES - 1));
    let deep = "/x".repeat(PATH_SEGMENTS);
    for text in
        ["/", "/a", "/...", "/.a/b.", "/Küche/Licht", "/a b", "/a:b", "/a%2fb", "/A", &long, &deep]
    {
        assert_eq!(address(text).as_str(), text);
        assert_eq!(pattern(text).as_str(), text);
        assert_eq!(PatternBuf::from(pattern(text)).pattern(), Pattern::from(address(text)));
        assert!(pattern(text).matches(&address(text)));
    }
    assert!(!pattern("/a").matches(&address("/A")), "letters of another case are other letters");
}

#[test]
fn a_scope_is_an_action_a_colon_and_a_pattern() {
    let scope = Scope::parse("write:/a:b/*").unwrap();
    assert_eq!((scope.action, scope.pattern.as_str()), (Action::Write, "/a:b/*"));
    assert_eq!(scope.to_string(), "write:/a:b/*");
    let wrong = [
        ("/lights", ScopeError::NoAction),
        ("", ScopeError::NoAction),
        (":/lights", ScopeError::UnknownAction),
        ("Read:/lights", ScopeError::UnknownAction),
        ("read :/lights", ScopeError::UnknownAction),
        ("execute:/lights", ScopeError::UnknownAction),
        ("read,write:/lights", ScopeError::UnknownAction),
        ("read:lights", ScopeError::NotAbsolute),
        ("read: /lights", ScopeError::NotAbsolute),
        ("read:", ScopeError::NotAbsolute),
        ("read:/lights*", ScopeError::PartialWildcard),
    ];
    for (text, error) in wrong {
        assert_eq!(Scope::parse(text), Err(error), "{text:?}");
    }
}

#[test]
fn admin_includes_write_and_write_includes_read() {
    let actions = [Action::Read, Action::Write, Action::Admin];
    for (mine, held) in actions.into_iter().enumerate() {
        assert_eq!(Action::parse(held.as_str()), Ok(held));
        let text = format!("{held}:/a/**");
        for (theirs, asked) in actions.into_iter().enumerate() {
            assert_eq!(
                scopes(&[&text]).allows(asked, &address("/a/b")),
                mine >= theirs,
                "{held} {asked}"
            );
            assert!(!scopes(&[&text]).allows(asked, &address("/b")));
            let child = format!("{asked}:/a/b");
            assert_eq!(
                scopes(&[&text]).covers(&scopes(&[&child])),
                mine >= theirs,
                "{held} {asked}"
            );
        }
    }
}

#[test]
fn a_subscription_is_allowed_only_where_its_pattern_is_a_subset() {
    let one_deep = scopes(&["read:/lights/*", "write:/audio/**"]);
    for yes in ["/lights/*", "/lights/room1", "/audio/**", "/audio/*/level"] {
        assert!(one_deep.allows_subscription(&pattern(yes)), "{yes}");
    }
    for no in ["/lights/**", "/lights", "/lights/*/x", "/**", "/*", "/audioX/**"] {
        assert!(!one_deep.allows_subscription(&pattern(no)), "{no}");
    }
    assert!(!scopes(&[]).allows_subscription(&pattern("/")));
}

#[test]
fn no_scopes_allow_nothing_and_are_covered_by_all() {
    let none = scopes(&[]);
    assert!(!none.allows(Action::Read, &address("/")));
    assert!(scopes(&["read:/a"]).covers(&none) && none.covers(&none));
    assert!(!none.covers(&scopes(&["read:/a"])));
}

#[test]
fn a_set_is_kept_as_text_and_read_again_as_the_same() {
    let set = scopes(&["read:/**", "write:/a/*", "admin:/"]);
    let kept = ScopesBuf::from(&set);
    assert_eq!(kept.as_str(), "read:/**\nwrite:/a/*\nadmin:/\n");
    assert_eq!(kept.scopes(), set);
    assert_eq!(ScopesBuf::parse(kept.as_str()), Ok(kept));
    assert_eq!(ScopesBuf::parse("").unwrap().scopes(), scopes(&[]));
    for (text, error) in [
        ("\n", ScopeError::NoAction),
        ("read:/a\n\n", ScopeError::NoAction),
        ("read:/a\r\n", ScopeError::Character),
        ("read:/a\nsing:/b\n", ScopeError::UnknownAction),
    ] {
        assert_eq!(ScopesBuf::parse(text), Err(error), "{text:?}");
    }
}

#[test]
fn a_set_has_bounds_and_what_fits_into_it_can_be_kept() {
    assert_eq!(Scopes::parse(["read:/a"; SCOPES + 1]), Err(ScopeError::TooManyScopes));
    assert_eq!(Scopes::parse(["read:/a"; SCOPES]).unwrap().as_slice().len(), SCOPES);
    // With "read:" and the line's end, each line takes 64 bytes.
    let line = format!("read:/{}", "x".repeat(57));
    let longer = format!("{line}x");
    let mut full = Scopes::parse([line.as_str(); 15]).unwrap();
    let before = full.clone();
    assert_eq!(full.push(Scope::parse(&longer).unwrap()), Err(ScopeError::SetTooLong));
    assert_eq!(full, before);
    full.push(Scope::parse(&line).unwrap()).unwrap();
    let kept = ScopesBuf::from(&full);
    assert_eq!(kept.as_str().len(), SCOPES_BYTES);
    assert_eq!(kept.scopes(), full);
}

#[test]
fn lines_of_any_characters_parse_exactly_where_the_page_says() {
    let pieces = [
        "/",
        "/",
        "/",
        "a",
        "b",
        "*",
        "**",
        ".",
        "\n/",
        "\n/",
        "\nread:/",
        "\nwrite:/",
        "\nadmin",
        ":",
        "\0",
        "ü",
        "\u{2067}",
        "\r",
        "x/",
    ];
    let mut prng = Prng::new(0x11_9e5);
    for _ in 0..20_000 {
        let text: String = (0..prng.below(24)).map(|_| prng.pick(&pieces)).collect();
        any_lines(text.trim_start_matches('\n').as_bytes());
    }
}
