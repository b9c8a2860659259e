//! Requests to systemd and logind, and their answers.

use std::time::Duration;

/// Why there is no answer.
#[derive(Debug)]
pub(in crate::guard) enum Failure {
    /// It is there, but says no: the operator expects a protection that is not in place.
    #[cfg_attr(not(feature = "systemd"), allow(dead_code))]
    Refused(String),
    /// There is no bus or nobody on it.
    NobodyThere(String),
}

/// A shutdown that is coming, or none.
#[cfg_attr(not(feature = "systemd"), allow(dead_code))]
#[derive(Debug)]
pub(in crate::guard) enum Shutdown {
    /// It has begun.
    Now,
    /// What is scheduled, as logind spells it: `reboot`, or nothing; and when, in microseconds since 1970.
    At {
        /// What will happen.
        mode: String,
        /// When.
        at: u64,
    },
}

/// A scope with one process in it, see systemd.scope(5).
#[cfg_attr(not(feature = "systemd"), allow(dead_code))]
#[derive(Debug)]
pub(in crate::guard) struct Scope<'a> {
    /// For people.
    pub(in crate::guard) description: String,
    /// The process.
    pub(in crate::guard) pid: u32,
    /// The slice that it is in.
    pub(in crate::guard) slice: &'a str,
    /// How long the process may take to end.
    pub(in crate::guard) stop_timeout: Duration,
    /// Units that are stopped later.
    pub(in crate::guard) after: &'a [&'a str],
}
