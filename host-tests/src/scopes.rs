//! A second opinion on scopes, written as the definition reads and without regard to cost: patterns
//! backtrack, a subset is tried address by address.

use handfast_core::grant::scope::{Address, Pattern, Scope, ScopesBuf};
use handfast_core::limits::{PATH_BYTES, PATH_SEGMENTS};

/// A segment that stands in no pattern of the tests.
pub const STRANGER: &str = "stranger";

/// The segments of a path.
#[must_use]
pub fn segments(path: &str) -> Vec<&str> {
    path[1..].split('/').filter(|_| path != "/").collect()
}

/// A path of segments.
#[must_use]
pub fn path(segments: &[&str]) -> String {
    format!("/{}", segments.join("/"))
}

/// Whether a pattern takes an address, by trying all ways.
#[must_use]
pub fn matches(tokens: &[&str], address: &[&str]) -> bool {
    match (tokens.split_first(), address.split_first()) {
        (None, end) => end.is_none(),
        (Some((&"**", rest)), None) => matches(rest, address),
        (Some((&"**", rest)), Some((_, fewer))) => matches(rest, address) || matches(tokens, fewer),
        (Some(_), None) => false,
        (Some((token, rest)), Some((segment, fewer))) => {
            (*token == "*" || token == segment) && matches(rest, fewer)
        }
    }
}

/// Every list of up to `most` of the words.
#[must_use]
pub fn lists(words: &[&'static str], most: usize) -> Vec<Vec<&'static str>> {
    let mut all = vec![Vec::new()];
    let mut from = 0;
    for _ in 0..most {
        let to = all.len();
        for at in from..to {
            for &word in words {
                let longer = [all[at].as_slice(), &[word]].concat();
                all.push(longer);
            }
        }
        from = to;
    }
    all
}

/// Every pattern of up to `most` segments and at most one `**` among them.
#[must_use]
pub fn patterns(letters: &[&'static str], most: usize) -> Vec<Vec<&'static str>> {
    let mut all = Vec::new();
    for plain in lists(&[letters, &["*"]].concat(), most) {
        for at in 0..=plain.len() {
            all.push([&plain[..at], &["**"], &plain[at..]].concat());
        }
        all.push(plain);
    }
    all
}

/// An address of the child that the parent refuses, if there is one. A stranger in the place of
/// each wildcard is the hardest for the parent, and more of them in the place of `**` than the
/// parent has tokens are no harder.
#[must_use]
pub fn address_outside(child: &[&str], parent: &[&str]) -> Option<String> {
    // A segment that stands in neither.
    let known = |segment: &str| child.contains(&segment) || parent.contains(&segment);
    let mut stranger = STRANGER.to_owned();
    while known(&stranger) {
        stranger.push('r');
    }
    (0..=parent.len() + 1).find_map(|many| {
        let mut address: Vec<&str> = Vec::new();
        for token in child {
            match *token {
                "**" => address.resize(address.len() + many, &stranger),
                "*" => address.push(&stranger),
                letter => address.push(letter),
            }
        }
        (!matches(parent, &address)).then(|| path(&address))
    })
}

/// Whether a text is a path by the rules of the page.
fn is_path(text: &str, wildcards: bool) -> bool {
    if !text.starts_with('/')
        || text.len() > PATH_BYTES
        || text.chars().any(handfast_core::text::is_forbidden)
    {
        return false;
    }
    let segments = segments(text);
    let wildcard = |segment: &str| wildcards && (segment == "*" || segment == "**");
    segments.len() <= PATH_SEGMENTS
        && segments.iter().all(|segment| {
            wildcard(segment) || !(["", ".", ".."].contains(segment) || segment.contains('*'))
        })
        && segments.iter().filter(|segment| **segment == "**").count() <= 1
}

/// Any lines: a line parses exactly where the page says, as it is; patterns and scopes answer as
/// the definition does; a set of scopes is kept and read again as the same, and allows what one of
/// its scopes allows.
///
/// # Panics
/// If one of that is not so.
pub fn any_lines(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let lines: Vec<&str> = text.lines().collect();
    let (mut addresses, mut patterns) = (Vec::new(), Vec::new());
    for line in &lines {
        let (address, pattern) = (Address::parse(line), Pattern::parse(line));
        assert_eq!(address.is_ok(), is_path(line, false), "{line:?}: {address:?}");
        assert_eq!(pattern.is_ok(), is_path(line, true), "{line:?}: {pattern:?}");
        addresses.extend(address);
        patterns.extend(pattern);
    }
    patterns.truncate(8);
    addresses.truncate(8);
    for parent in &patterns {
        let tokens = segments(parent.as_str());
        for address in &addresses {
            assert_eq!(
                parent.matches(address),
                matches(&tokens, &segments(address.as_str())),
                "{parent} {address}"
            );
        }
        for child in &patterns {
            let outside = address_outside(&segments(child.as_str()), &tokens);
            assert_eq!(parent.covers(child), outside.is_none(), "{parent} {child} {outside:?}");
        }
    }
    let Ok(set) = ScopesBuf::parse(text) else { return };
    let scopes = set.scopes();
    assert_eq!(ScopesBuf::from(&scopes), set);
    assert!(scopes.covers(&scopes));
    let parsed: Vec<Scope<'_>> =
        lines.iter().map(|line| Scope::parse(line).expect("the set parses")).collect();
    assert_eq!(scopes.as_slice(), parsed);
}
