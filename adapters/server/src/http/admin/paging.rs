//! Pages of lists. Every list is `{"items":[…],"next":…}`, and is asked for with `limit` and
//! `after`.

use serde::Deserialize;
use utoipa::IntoParams;

use super::failure::AdminFailure;

/// Maximum number of items of an answer, and their number without a `limit`.
const MOST: usize = 500;

/// A page of a list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct PageQuery {
    /// Maximum number of items, from 1 to 500; 500 if left out.
    pub(super) limit: Option<usize>,
    /// Cursor of the page: the `next` of the page before.
    pub(super) after: Option<String>,
}

/// Returns the number of items that a request may be answered with.
///
/// # Errors
/// [`AdminFailure::Usage`] for a limit out of bounds.
pub(super) fn limit(limit: Option<usize>) -> Result<usize, AdminFailure> {
    match limit {
        None => Ok(MOST),
        Some(limit) if (1..=MOST).contains(&limit) => Ok(limit),
        Some(_) => Err(AdminFailure::Usage(format!("limit is a number from 1 to {MOST}"))),
    }
}

/// Reads a cursor.
///
/// # Errors
/// [`AdminFailure::Usage`] for a text that no list of this kind has given.
pub(super) fn after<T>(
    text: Option<&str>,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, AdminFailure> {
    text.map(|text| read(text).ok_or_else(unknown)).transpose()
}

fn unknown() -> AdminFailure {
    AdminFailure::Usage(
        "after is the `next` of an earlier page of this list; leave it out to begin anew"
            .to_owned(),
    )
}

/// A page of a list that was read as a whole.
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    /// Cursor of the next page; `None` on the last one.
    pub(super) next: Option<String>,
    /// Number of items of all pages.
    pub(super) total: usize,
}

/// Cuts a page out of a list that was read as a whole, whose items are found again by their ids.
///
/// # Errors
/// [`AdminFailure::Usage`] for a limit out of bounds, and for a cursor whose item is gone.
pub(super) fn cut<T>(
    mut all: Vec<T>,
    most: Option<usize>,
    after: Option<&str>,
    id: impl Fn(&T) -> String,
) -> Result<Page<T>, AdminFailure> {
    let (most, total) = (limit(most)?, all.len());
    if let Some(after) = after {
        let place = all.iter().position(|item| id(item) == after).ok_or_else(unknown)?;
        all.drain(..=place);
    }
    let more = all.len() > most;
    all.truncate(most);
    let next = all.last().filter(|_| more).map(id);
    Ok(Page { items: all, next, total })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(most: usize, after: Option<&str>) -> Option<(Vec<u8>, Option<String>, usize)> {
        let all = vec![3, 1, 4, 5];
        let page = cut(all, Some(most), after, ToString::to_string).ok()?;
        Some((page.items, page.next, page.total))
    }

    #[test]
    fn pages_follow_each_other_without_a_gap_and_the_last_one_has_no_next() {
        let next = |text: &str| Some(text.to_owned());
        assert_eq!(page(2, None), Some((vec![3, 1], next("1"), 4)));
        assert_eq!(page(2, Some("1")), Some((vec![4, 5], None, 4)));
        assert_eq!(page(3, None), Some((vec![3, 1, 4], next("4"), 4)));
        assert_eq!(page(500, None), Some((vec![3, 1, 4, 5], None, 4)));
        assert_eq!(page(500, Some("5")), Some((vec![], None, 4)));
        for (most, after) in [(0, None), (501, None), (2, Some("9"))] {
            assert_eq!(page(most, after), None, "{most} {after:?}");
        }
    }
}
