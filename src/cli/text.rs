//! Text that others wrote, as a terminal may show it.

use std::borrow::Cow;

use crate::report::log;

/// Text of several lines as a terminal may show it: what else would steer it is spelt out.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    log::spelt_out(text, |c| matches!(c, '\n' | '\t'))
}

/// The same in one line.
pub(super) fn one_line(text: &str) -> Cow<'_, str> {
    log::spelt_out(text, |_| false)
}
