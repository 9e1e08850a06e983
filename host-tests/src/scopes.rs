//! A reference implementation of scopes, written after their definition and without regard to cost:
//! patterns backtrack, and a subset is tried address by address.

use handfast_core::grant::scope::{Address, Pattern, Scope, ScopesBuf};
use handfast_core::limits::{PATH_BYTES, PATH_SEGMENTS};

/// A segment that occurs in no pattern of the tests.
pub const STRANGER: &str = "stranger";

/// Splits a path into its segments.
#[must_use]
pub fn segments(path: &str) -> Vec<&str> {
    path[1..].split('/').filter(|_| path != "/").collect()
}

/// Joins segments to a path.
#[must_use]
pub fn path(segments: &[&str]) -> String {
    format!("/{}", segments.join("/"))
}

/// Returns `true` if a pattern matches an address, by trying all ways.
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

/// Returns every list of at most `most` of the words.
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

/// Returns every pattern of at most `most` plain segments and one `**`, and those without it.
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

/// Returns an address that the child matches and the parent does not, if there is one. An unknown
/// segment for each wildcard is the hardest case for the parent. Replacing `**` by more of them
/// than the parent has tokens makes it no harder.
#[must_use]
pub fn address_outside(child: &[&str], parent: &[&str]) -> Option<String> {
    // A segment that occurs in neither pattern.
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

/// Returns `true` if a text is a path by the rules of the specification.
fn is_path(text: &str, wildcards: bool) -> bool {
    if !text.starts_with('/')
        || text.len() > PATH_BYTES
        || text.chars().any(handfast_core::Label::forbids)
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

/// Checks arbitrary lines. A line parses exactly where the specification says, and unchanged.
/// Patterns and scopes match as the reference does. A set of scopes that is written and parsed
/// stays the same, and allows what one of its scopes allows.
///
/// # Panics
/// If one of these does not hold.
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
