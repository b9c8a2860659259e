//! The parameters of a PostgreSQL URL: those of libpq that can be followed, and what each may be.

use std::net::IpAddr;

use super::auth_methods::AuthMethods;
use crate::config::{Flaw, did_you_mean, percent_decoded_text, quote};

/// The values that a parameter may have.
pub(super) enum Values {
    Any,
    Number,
    /// What `require_auth` may be.
    Methods,
    /// IP addresses, with commas between.
    Addresses,
    Ports,
    Words(&'static [&'static str]),
}

pub(super) const PARAMETERS: &[(&str, Values)] = &[
    ("application_name", Values::Any),
    (
        "channel_binding",
        Values::Words(&["disable", "prefer", "require"]),
    ),
    ("connect_timeout", Values::Number),
    ("dbname", Values::Any),
    ("host", Values::Any),
    ("hostaddr", Values::Addresses),
    ("keepalives", Values::Words(&["0", "1"])),
    ("keepalives_idle", Values::Number),
    ("keepalives_interval", Values::Number),
    ("keepalives_retries", Values::Number),
    ("load_balance_hosts", Values::Words(&["disable", "random"])),
    ("options", Values::Any),
    ("port", Values::Ports),
    ("require_auth", Values::Methods),
    ("sslcert", Values::Any),
    ("sslkey", Values::Any),
    (
        "sslmode",
        Values::Words(&[
            "disable",
            "allow",
            "prefer",
            "require",
            "verify-ca",
            "verify-full",
        ]),
    ),
    ("sslnegotiation", Values::Words(&["postgres", "direct"])),
    ("sslrootcert", Values::Any),
    (
        "target_session_attrs",
        Values::Words(&["any", "read-write", "read-only"]),
    ),
    ("tcp_user_timeout", Values::Number),
    ("user", Values::Any),
];

/// Their names, for people.
pub(super) const NAMES: &str = "application_name | channel_binding | connect_timeout | dbname | host | hostaddr | keepalives | keepalives_idle | keepalives_interval | keepalives_retries | load_balance_hosts | options | port | require_auth | sslcert | sslkey | sslmode | sslnegotiation | sslrootcert | target_session_attrs | tcp_user_timeout | user";

/// Parameters of libpq that lead elsewhere, with what to use instead.
const NOT_HERE: &[(&str, &str)] = &[
    (
        "service",
        "pg_service.conf is not read: write user, host, port and database into the URL",
    ),
    (
        "gssencmode",
        "there is no encryption by GSSAPI here: leave it out, and encrypt with sslmode",
    ),
    (
        "krbsrvname",
        "nobody logs in by GSSAPI here: leave it out, and give a password or a certificate",
    ),
    (
        "requirepeer",
        "leave it out: the owner of a Unix socket is not checked",
    ),
];

/// Whether a parameter is one that can be followed.
pub(super) fn check(name: &str, value: &str) -> Result<(), Flaw> {
    if let Some((_, instead)) = NOT_HERE.iter().find(|(other, _)| *other == name) {
        return Err(Flaw::with_help(
            format!("`{name}` is not supported in a PostgreSQL URL"),
            *instead,
        ));
    }
    let Some((_, values)) = PARAMETERS.iter().find(|(known, _)| *known == name) else {
        // Its name may be a part of a password, and is not repeated.
        return Err(
            Flaw::new("the URL has a parameter that is not PostgreSQL's")
                .allowed(NAMES)
                .maybe_help(did_you_mean(
                    name,
                    PARAMETERS.iter().map(|(known, _)| *known),
                )),
        );
    };
    let Some(value) = percent_decoded_text(value) else {
        return Ok(());
    };
    let each = |fine: fn(&str) -> bool| value.split(',').all(fine);
    let (fine, allowed) = match values {
        Values::Any => (true, String::new()),
        Values::Number => (value.parse::<u32>().is_ok(), "a number".to_owned()),
        Values::Methods => (
            AuthMethods::parse(&value).is_some(),
            format!(
                "one or more of: {}, with commas between, or all of them with `!` before",
                AuthMethods::WORDS.join(", ")
            ),
        ),
        Values::Addresses => (
            each(|one| one.parse::<IpAddr>().is_ok()),
            "an IP address".to_owned(),
        ),
        Values::Ports => (
            each(|one| one.parse::<u16>().is_ok()),
            "a port's number".to_owned(),
        ),
        Values::Words(words) => (
            words.contains(&value.as_str()),
            format!("one of: {}", words.join(", ")),
        ),
    };
    if fine {
        return Ok(());
    }
    let guess = match values {
        Values::Words(words) => did_you_mean(&value, words.iter().copied()),
        _ => None,
    };
    let guess = guess.map(|guess| format!("; {guess}")).unwrap_or_default();
    Err(Flaw::new(format!("{name} cannot be {}", quote(&value)))
        .help(format!("{name} is {allowed}{guess}")))
}
