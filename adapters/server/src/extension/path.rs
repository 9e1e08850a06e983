//! The check for paths that may be forwarded: every decoder, splitter and normalizer must read them
//! in the same way.

/// Returns `true` if a path, as it was sent, is unambiguous.
///
/// Refused are: more than 4 KiB · a `\`, or a byte that is not printable ASCII · an empty segment
/// (`//`), other than the last · a segment that is `.` or `..`, also before a `;` · a `%` that does
/// not begin an escape · the escapes of `.`, `/`, `\`, of `%` before two hexadecimal digits (an
/// escape of an escape), and of control characters.
pub(super) fn is_plain(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else { return false };
    let segments = rest.split('/').count();
    path.len() <= 4096
        && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
        && rest
            .split('/')
            .enumerate()
            .all(|(at, segment)| (at + 1 == segments || !segment.is_empty()) && !is_dots(segment))
        && escapes_are_plain(path.as_bytes())
}

fn is_dots(segment: &str) -> bool {
    // Some servers drop what follows a semicolon before they resolve dots.
    matches!(segment.split(';').next(), Some("." | ".."))
}

fn escapes_are_plain(mut path: &[u8]) -> bool {
    while let Some(at) = path.iter().position(|byte| *byte == b'%') {
        let Some(byte) = escape(&path[at..]) else { return false };
        let rest = &path[at + 3..];
        let twice = byte == b'%' && rest.len() >= 2 && rest[..2].iter().all(u8::is_ascii_hexdigit);
        if matches!(byte, b'.' | b'/' | b'\\') || byte.is_ascii_control() || twice {
            return false;
        }
        path = rest;
    }
    true
}

/// Returns the byte that a `%XX` escape stands for.
fn escape(text: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(text.get(1..3)?).ok()?;
    // The parser of numbers would take a sign as well.
    let hexadecimal = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    hexadecimal.then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_pass() {
        for path in [
            "/",
            "/mail",
            "/mail/",
            "/mail/a%20b",
            "/mail/..a",
            "/mail/a..b/...",
            "/mail/100%25",
            "/m/%C3%A9",
            "/m;v=1/x",
        ] {
            assert!(is_plain(path), "{path}");
        }
    }

    #[test]
    fn paths_that_could_mean_another_one_do_not() {
        for path in [
            "",
            "mail",
            "//mail",
            "/mail//x",
            "/mail/..",
            "/mail/../pair",
            "/mail/./x",
            "/mail/..;/pair",
            "/mail/.;a=b/x",
            "/mail/%2e%2e/pair",
            "/mail/%2E./pair",
            "/mail/..%2fpair",
            "/mail/%2Fpair",
            "/mail/..%5cpair",
            "/mail/..\\pair",
            "/mail/%252e%252e/pair",
            "/mail/%252Fpair",
            "/mail/%00",
            "/mail/%0d%0a",
            "/mail/%7f",
            "/mail/%",
            "/mail/%2",
            "/mail/%zz",
            "/mail/%+1",
            "/mail/é",
            "/mail/a b",
        ] {
            assert!(!is_plain(path), "{path}");
        }
        assert!(!is_plain(&format!("/{}", "a".repeat(4096))));
    }
}
