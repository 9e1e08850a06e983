//! Selection of the metrics format that a request accepts.

use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, HeaderValue};
use mediatype::{MediaType, MediaTypeList, Name, ReadParams};

/// A metrics format, as far as a request can name it.
struct FormatOffer {
    kind: (&'static str, &'static str),
    version: &'static str,
}

const OPEN_METRICS: FormatOffer =
    FormatOffer { kind: ("application", "openmetrics-text"), version: "1.0.0" };
const TEXT: FormatOffer = FormatOffer { kind: ("text", "plain"), version: "0.0.4" };

/// Returns `true` if the request prefers the older text format. OpenMetrics is the default.
pub(super) fn wants_text(headers: &HeaderMap) -> bool {
    let lists =
        || headers.get_all(ACCEPT).iter().filter_map(|list: &HeaderValue| list.to_str().ok());
    let ranges = || lists().flat_map(MediaTypeList::new).filter_map(Result::ok);
    // The most specific range that matches an offer determines its quality (RFC 9110, 12.5.1).
    let wish = |offer: &FormatOffer| {
        let fitting = ranges()
            .filter_map(|range| exactness(offer, &range).map(|exact| (exact, quality(&range))));
        fitting
            .max_by(|one, other| one.0.cmp(&other.0).then(one.1.total_cmp(&other.1)))
            .unwrap_or((0, 0.0))
    };
    let ((open_exact, open), (text_exact, text)) = (wish(&OPEN_METRICS), wish(&TEXT));
    text > open || (text == open && text > 0.0 && text_exact > open_exact)
}

/// Returns the specificity with which a range matches the offer; `None` if it does not match.
fn exactness(offer: &FormatOffer, range: &MediaType<'_>) -> Option<u8> {
    let named = |name: Name<'_>, text: &str| name.as_str().eq_ignore_ascii_case(text);
    let plain = range.suffix.is_none();
    match (named(range.ty, offer.kind.0), named(range.subty, offer.kind.1) && plain) {
        (true, true) => match range.get_param(Name::new_unchecked("version")) {
            None => Some(3),
            Some(version) => (version.unquoted_str() == offer.version).then_some(4),
        },
        (true, false) if range.subty.as_str() == "*" => Some(2),
        (false, false) if range.ty.as_str() == "*" && range.subty.as_str() == "*" => Some(1),
        (_, _) => None,
    }
}

fn quality(range: &MediaType<'_>) -> f64 {
    let given =
        range.get_param(Name::new_unchecked("q")).map(|q| q.as_str().parse().unwrap_or(0.0));
    given.filter(|q: &f64| q.is_finite()).map_or(1.0, |q| q.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(accept: &[&'static str]) -> bool {
        let headers = accept.iter().map(|list| (ACCEPT, HeaderValue::from_static(list)));
        wants_text(&headers.collect())
    }

    #[test]
    fn the_text_format_is_for_whoever_asks_for_it_and_open_metrics_for_everybody_else() {
        for asks in [
            &["text/plain"][..],
            &["text/plain; version=0.0.4"],
            &["text/plain;version=\"0.0.4\""],
            &["TEXT/Plain"],
            &["text/plain, */*"],
            &["text/*"],
            &["text/plain;version=0.0.4;q=1,*/*;q=0.1"],
            &["application/openmetrics-text;q=0.2, text/plain;q=0.3"],
            &["application/openmetrics-text;version=0.0.1, text/plain;q=0.1"],
            &["application/json", "text/plain"],
            &["application/openmetrics-text;q=0, */*"],
        ] {
            assert!(text(asks), "{asks:?}");
        }
        for other in [
            &[][..],
            &[""],
            &["*/*"],
            &["application/openmetrics-text"],
            &["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"],
            &["text/plain;version=1.0.0"],
            &["text/plain;q=0"],
            &["text/plain;q=0, */*"],
            &["text/plain, application/openmetrics-text"],
            &[
                "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            ],
            &["nonsense"],
        ] {
            assert!(!text(other), "{other:?}");
        }
    }
}
