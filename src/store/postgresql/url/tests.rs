//! URLs of PostgreSQL, right and wrong.

use secrecy::ExposeSecret;

use super::parameters::{NAMES, PARAMETERS, Values};
use super::*;
use crate::config::{EndpointUrl, read_url};
use crate::store::registry::formats;

fn read_one(url: &str) -> Result<(EndpointUrl, Option<SecretString>), Flaw> {
    read_url(url, Path::new("/etc/jobs"), formats())
}

fn parsed(text: &str) -> (String, Option<String>) {
    match read_one(text) {
        Ok((url, password)) => (
            url.text().to_owned(),
            password.map(|p| p.expose_secret().to_owned()),
        ),
        Err(flaw) => panic!("{text}: {}", flaw.message),
    }
}

fn refused(text: &str) -> String {
    match read_one(text) {
        Ok((url, _)) => panic!("{text} became {url}"),
        Err(flaw) => flaw.message,
    }
}

fn understood(text: &str) -> PostgresqlUrl {
    let (url, _) = read_one(text).unwrap_or_else(|flaw| panic!("{text}: {flaw:?}"));
    url.address::<PostgresqlUrl>().unwrap().clone()
}

#[test]
fn a_password_is_cut_out_and_decoded_wherever_it_stands() {
    for (url, left, password) in [
        ("postgresql://u@h/d", "postgresql://u@h/d", None),
        (
            "postgres://u:p@h:5433/d",
            "postgresql://u@h:5433/d",
            Some("p"),
        ),
        (
            "postgresql://u:p%40s%2Fs%25@h/d",
            "postgresql://u@h/d",
            Some("p@s/s%"),
        ),
        (
            "postgresql://u:p@ss@h/d",
            "postgresql://u@h/d",
            Some("p@ss"),
        ),
        ("postgresql://u:a:b@h/d", "postgresql://u@h/d", Some("a:b")),
        ("postgresql://u:@h/d", "postgresql://u@h/d", None),
        (
            "postgresql://u@h/d?sslmode=require&password=p&application_name=x",
            "postgresql://u@h/d?sslmode=require&application_name=x",
            Some("p"),
        ),
        (
            "postgresql://u@/d?host=/run/pg",
            "postgresql://u@/d?host=/run/pg",
            None,
        ),
        (
            "postgresql://u@[::1]:5433/d",
            "postgresql://u@[::1]:5433/d",
            None,
        ),
        ("postgresql://u@a:1,b:2/d", "postgresql://u@a:1,b:2/d", None),
    ] {
        assert_eq!(
            parsed(url),
            (left.to_owned(), password.map(str::to_owned)),
            "{url}"
        );
    }
}

#[test]
fn a_url_that_would_be_split_in_the_wrong_place_is_refused_without_being_quoted() {
    for url in [
        "postgresql://u:hun/ter2@h/d",
        "postgresql://u:12/hunter2@h/d",
        "postgresql://u:hun?ter2@h/d",
        "postgresql://u:hunter2#@h/d",
        "postgresql://u:hunter2%zz@h/d",
        "postgresql://u:hunter2@h/d?password=hunter2",
        "postgresql://u@h/d?sslpassword=hunter2",
    ] {
        let message = refused(url);
        assert!(
            !message.contains("hunter2") && !message.contains("ter2"),
            "{message}"
        );
    }
}

#[test]
fn two_spellings_of_one_place_are_one() {
    let place = |url: &str| read_one(url).unwrap().0.place().to_owned();
    let same = |a: &str, b: &str| place(a) == place(b);
    assert!(same(
        "postgresql://a@H:5432/d",
        "postgresql://b@h/d?sslmode=require"
    ));
    assert!(!same("postgresql://u@h/d", "postgresql://u@h/e"));
    assert!(!same(
        "postgresql://u@/d?host=/a",
        "postgresql://u@/d?host=/b"
    ));
}

fn flaw_of(rest: &str) -> String {
    match read(rest) {
        Ok(url) => panic!("{rest} became {}", url.text),
        Err(flaw) => [Some(flaw.message), flaw.allowed.map(Into::into), flaw.help]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join("; "),
    }
}

#[test]
fn what_no_connection_could_be_made_with_is_refused_with_what_is_allowed() {
    for (rest, said) in [
        ("u@h", "names no database"),
        ("h/d", "names no user"),
        ("u@h/d?sslmode=nonsense", "disable, allow, prefer, require"),
        ("u@h/d?sslmode=verify_full", "verify-full"),
        ("u@h/d?ssmode=require", "sslmode"),
        ("u@h/d?connect_timeout=abc", "connect_timeout is a number"),
        ("u@h/d?service=app", "pg_service.conf is not read"),
        ("u@h/d?gssencmode=disable", "sslmode"),
        ("u@h/d?target_session_attrs=primary", "read-write"),
        ("u@h/d?channel_binding=never", "disable, prefer, require"),
        ("u@h/d?require_auth=scram", "scram-sha-256"),
        ("u@h/d?require_auth=md5,!password", "with `!` before"),
        ("u@h/d?require_auth=", "one or more of"),
        ("u@h/d?sslcert=/a.pem", "sslkey"),
        ("u@h/d?hostaddr=nowhere", "an IP address"),
        ("u@a,b/d?hostaddr=127.0.0.1", "as many hostaddr as hosts"),
        ("u@/d?host=a,b&port=1,2,3", "as many ports as hosts"),
    ] {
        let text = flaw_of(rest);
        assert!(text.contains(said), "{rest}: {text}");
    }
}

#[test]
fn every_parameter_that_is_allowed_can_be_read() {
    for (name, words) in PARAMETERS {
        let value = match *name {
            "hostaddr" => "127.0.0.1",
            "sslcert" => "/c.pem&sslkey=/k.pem",
            "sslkey" => "/k.pem&sslcert=/c.pem",
            "host" => "/run/postgresql",
            _ => match words {
                Values::Words(words) => words[0],
                Values::Methods => "scram-sha-256",
                _ => "10",
            },
        };
        let before = if matches!(*name, "host" | "port") {
            "u@"
        } else {
            "u@h"
        };
        if let Err(flaw) = read(&format!("{before}/d?{name}={value}")) {
            panic!("{name}: {}", flaw.message);
        }
        assert!(NAMES.split(" | ").any(|one| one == *name), "{name}");
    }
}

#[test]
fn tls_is_required_of_who_is_elsewhere_unless_the_url_says_otherwise() {
    let requires = |url: &str| {
        let url = understood(&format!("postgresql://{url}"));
        url.mode_is_default && url.mode == SslMode::Require
    };
    for url in [
        "u@db1/d",
        "u@a,localhost/d",
        "u@localhost/d?hostaddr=10.0.0.1",
        "u@/d?host=db1",
    ] {
        assert!(requires(url), "{url}");
        let said = if url.contains('?') { '&' } else { '?' };
        assert!(!requires(&format!("{url}{said}sslmode=prefer")));
    }
    for url in [
        "u@localhost/d",
        "u@[::1]:1/d",
        "u@/d?host=/run/x",
        "u@db1/d?hostaddr=127.0.0.1",
        "u@/d",
    ] {
        assert!(!requires(url), "{url}");
    }
}

#[test]
fn tls_that_is_given_up_on_the_network_is_a_risk_and_on_this_machine_none() {
    for (url, key) in [
        ("postgresql://u@db1/d?sslmode=prefer", "sslmode=prefer"),
        ("postgresql://u@db1/d?sslmode=allow", "sslmode=allow"),
        ("postgresql://u@db1/d?sslmode=disable", "sslmode=disable"),
        ("postgresql://u@localhost,db1/d?sslmode=disable", "disable"),
        (
            "postgresql://u@localhost/d?hostaddr=10.0.0.1&sslmode=prefer",
            "prefer",
        ),
        (
            "postgresql://u@/d?host=/run/pg,db1&sslmode=prefer",
            "prefer",
        ),
        ("postgresql://u@10.0.0.1:1/d?sslmode=prefer", "prefer"),
    ] {
        let (read, _) = read_one(url).unwrap();
        let found = read.risk().unwrap_or_else(|| panic!("{url}"));
        assert!(found.what.contains(key), "{url}: {found:?}");
    }
    for url in [
        "postgresql://u@db1/d",
        "postgresql://u@db1/d?sslmode=require",
        "postgresql://u@db1/d?sslmode=prefer&sslmode=verify-full",
        "postgresql://u@localhost/d?sslmode=disable",
        "postgresql://u@[::1]:5433/d?sslmode=prefer",
        "postgresql://u@db1/d?hostaddr=127.0.0.1&sslmode=disable",
        "postgresql://u@/d?host=/run/postgresql&sslmode=disable",
        "postgresql://u@%2Frun%2Fpostgresql/d?sslmode=disable",
        "postgresql:///d?user=u&sslmode=prefer",
    ] {
        let (read, _) = read_one(url).unwrap();
        assert_eq!(read.risk(), None, "{url}");
    }
}

#[test]
fn ssl_parameters_are_cut_out_and_decoded() {
    let (url, ssl) = cut_own(
        "postgresql://u@h/d?sslmode=verify-full&application_name=x&sslrootcert=%2Fetc%2Fca.pem",
    );
    assert_eq!(url, "postgresql://u@h/d?application_name=x");
    assert_eq!(ssl[1], ("sslrootcert".into(), "/etc/ca.pem".into()));
}

#[test]
fn a_url_without_database_or_user_is_refused() {
    for url in [
        "postgresql://u@h",
        "postgresql://h/d",
        "postgresql://u@h/d?sslmode=maybe",
        "postgresql://u@[::1/d",
    ] {
        assert!(read_one(url).is_err(), "{url}");
    }
    let url = understood("postgresql://u%40x@h:1/d%20b?sslmode=require");
    assert_eq!(url.config.get_user(), Some("u@x"));
    assert_eq!(url.config.get_dbname(), Some("d b"));
}

#[test]
fn what_only_a_connection_would_find_out_is_refused_with_the_file() {
    for (url, why) in [
        ("postgresql://u@[::1]x/d", "not a PostgreSQL URL"),
        (
            "postgresql://u@h/d?application_name",
            "not a PostgreSQL URL",
        ),
        ("postgresql:///d?user=u&options=a@b", "it names no database"),
    ] {
        let message = refused(url);
        assert!(message.contains(why), "{url}: {message}");
    }
}
