//! The columns whose times move with a step of the clock.

/// Times that belong to a run.
pub(crate) struct Moved {
    pub(crate) table: &'static str,
    /// SQL condition for the rows of the run `?1`.
    pub(crate) of: &'static str,
    /// The column with the time at which the run made a row, if there is one.
    pub(crate) made: Option<&'static str>,
    /// The columns whose times move.
    pub(crate) times: &'static [&'static str],
}

impl Moved {
    const fn new(
        table: &'static str,
        of: &'static str,
        made: Option<&'static str>,
        times: &'static [&'static str],
    ) -> Self {
        Self { table, of, made, times }
    }
}

/// SQL condition for rows that the run itself made.
const OWN: &str = "run = ?1";

/// All columns with a beginning or an end. The end of a session may belong to another run than its
/// beginning, and so may a node's data besides its request. The end of a setup code under delivery
/// is written in the code itself, so it never moves; nor do a certificate's times, which are
/// signed.
pub(crate) const MOVED: [Moved; 18] = [
    Moved::new("node", OWN, Some("asked_at"), &["asked_at", "expires", "fallback_expires"]),
    Moved::new("node", "ceiling_run = ?1", Some("ceiling_at"), &["ceiling_at", "ceiling_expires"]),
    Moved::new(
        "node",
        "delivery_id IN (SELECT delivery_id FROM delivery WHERE run = ?1)",
        None,
        &["delivery_until"],
    ),
    Moved::new("delivery", OWN, None, &["until"]),
    Moved::new("rejection", OWN, Some("rejected_at"), &["rejected_at", "until"]),
    Moved::new("asked", OWN, Some("last"), &["last"]),
    Moved::new("granted", OWN, Some("not_before"), &["not_before", "expires", "until"]),
    Moved::new("code", OWN, Some("created_at"), &["created_at", "expires", "dead_since"]),
    Moved::new("pairing_window", OWN, Some("opened_at"), &["opened_at", "closes"]),
    Moved::new("session", OWN, Some("issued_at"), &["issued_at", "own_end"]),
    Moved::new("session", "end_run = ?1", Some("renewed"), &["expires_at", "renewed"]),
    Moved::new("login", OWN, Some("made_at"), &["made_at", "ends_at"]),
    Moved::new("login", "use_run = ?1", Some("used_at"), &["used_at", "expires_at"]),
    Moved::new("spent_setup_code", OWN, None, &["expires"]),
    Moved::new("sender_pending", OWN, Some("created_at"), &["created_at", "told_at"]),
    Moved::new("sender_allowed", OWN, Some("approved_at"), &["approved_at", "until"]),
    Moved::new("approval_policy", OWN, Some("made_at"), &["made_at", "ends_at"]),
    Moved::new("dispatch", OWN, Some("made_at"), &["made_at", "deadline"]),
];
