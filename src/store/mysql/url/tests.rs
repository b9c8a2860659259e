//! URLs of MySQL and MariaDB, right and wrong.

use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::*;
use crate::config::{EndpointUrl, read_url};
use crate::store::registry::formats;

fn read_one(url: &str) -> Result<(EndpointUrl, Option<SecretString>), Flaw> {
    read_url(url, Path::new("/etc/jobs & more"), formats())
}

fn read_right(url: &str) -> (String, Option<String>) {
    match read_one(url) {
        Ok((url, password)) => (
            url.text().to_owned(),
            password.map(|p| p.expose_secret().to_owned()),
        ),
        Err(flaw) => panic!("{url}: {}", flaw.message),
    }
}

fn understood(url: &str) -> MysqlUrl {
    let (url, _) = read_one(url).unwrap_or_else(|flaw| panic!("{url}: {flaw:?}"));
    url.address::<MysqlUrl>().unwrap().clone()
}

fn refused(url: &str) -> String {
    match read_one(url) {
        Ok((url, _)) => panic!("it became {url}"),
        Err(flaw) => format!(
            "{} ({}; {})",
            flaw.message,
            flaw.allowed.unwrap_or_default(),
            flaw.help.unwrap_or_default()
        ),
    }
}

#[test]
fn a_password_is_cut_out_and_decoded_and_the_rest_is_kept_as_written() {
    for (url, left, password) in [
        ("mysql://u@h/d", "mysql://u@h/d", None),
        ("mariadb://u:p@h:3307/d", "mariadb://u@h:3307/d", Some("p")),
        ("mysql://u:@h/d", "mysql://u@h/d", None),
        (
            "mysql://u%40x:p%40s%2Fs%25%3A@h/d",
            "mysql://u%40x@h/d",
            Some("p@s/s%:"),
        ),
        ("mysql://u:a:b@h/d", "mysql://u@h/d", Some("a:b")),
        ("mysql://u:p@ss@h/d", "mysql://u@h/d", Some("p@ss")),
        (
            "mysql://u:p@h/d?tls=verify-full&tls_ca=ca.pem",
            "mysql://u@h/d?tls=verify-full&tls_ca=/etc/jobs%20%26%20more/ca.pem",
            Some("p"),
        ),
        (
            "mysql://u@/d?socket=/run/mysqld/mysqld.sock",
            "mysql://u@/d?socket=/run/mysqld/mysqld.sock",
            None,
        ),
    ] {
        assert_eq!(
            read_right(url),
            (left.to_owned(), password.map(str::to_owned)),
            "{url}"
        );
    }
}

#[test]
fn what_a_url_says_arrives_decoded() {
    assert_eq!(
        understood("mysql://us%25er:x@[fe80::1%25eth0]:3307/my%2Fd%20b%3F"),
        MysqlUrl {
            user: "us%er".to_owned(),
            host: "fe80::1%eth0".to_owned(),
            port: 3307,
            socket: None,
            database: "my/d b?".to_owned(),
            tls: MysqlTls::Require,
            tls_is_default: true,
            tls_ca: None,
            tls_client: None,
            server_public_key: None,
            connect_timeout: Duration::from_secs(30),
        }
    );
    let url = understood("mysql://u@h/d?tls=disable&server_public_key=key.pem&connect_timeout=7");
    assert_eq!(
        url.server_public_key,
        Some("/etc/jobs & more/key.pem".into())
    );
    assert_eq!(url.connect_timeout, Duration::from_secs(7));
    assert_eq!((url.tls, url.tls_is_default), (MysqlTls::Disable, false));
    let url = understood(
        "mariadb://u@h/d?tls_key=k%26y.pem&tls=verify-ca&tls_cert=/x/c.pem&tls_ca=sub/ca.pem",
    );
    assert_eq!((url.port, url.tls), (3306, MysqlTls::VerifyCa));
    assert_eq!(url.tls_ca, Some("/etc/jobs & more/sub/ca.pem".into()));
    assert_eq!(
        url.tls_client,
        Some(("/x/c.pem".into(), "/etc/jobs & more/k&y.pem".into()))
    );
    let url = understood("mysql://u@localhost/d?socket=/run/my%20sql.sock");
    assert_eq!(url.socket, Some("/run/my sql.sock".into()));
    // Never a socket by itself.
    assert_eq!(understood("mysql://u@localhost/d").socket, None);
    assert_eq!(understood("mysql://u@[::1]/d").host, "::1");
}

#[test]
fn tls_is_required_of_who_is_elsewhere_and_preferred_on_this_machine() {
    for (url, tls) in [
        ("mysql://u@db1/d", MysqlTls::Require),
        ("mysql://u@10.0.0.1/d", MysqlTls::Require),
        ("mysql://u@db1/d?tls=prefer", MysqlTls::Prefer),
        ("mysql://u@db1/d?tls_cert=/c&tls_key=/k", MysqlTls::Require),
        ("mysql://u@localhost/d", MysqlTls::Prefer),
        ("mysql://u@127.0.0.9/d", MysqlTls::Prefer),
        ("mysql://u@[::1]/d", MysqlTls::Prefer),
        ("mysql://u@/d?socket=/x", MysqlTls::Prefer),
    ] {
        assert_eq!(understood(url).tls, tls, "{url}");
    }
}

#[test]
fn what_no_server_could_be_reached_with_is_refused() {
    for (url, part) in [
        ("mysql:u@h/d", "`://` is missing"),
        ("mysql://", "no user"),
        ("mysql://h/d", "no user"),
        ("mysql://@h/d", "no user"),
        ("mysql://:p@h/d", "no user"),
        ("mysql://u@h", "no database"),
        ("mysql://u@h/", "no database"),
        ("mysql://u@h?tls=require", "no database"),
        ("mysql://u@/d", "no host"),
        ("mysql://u@a,b/d", "more than one host"),
        ("mysql://u@a:1,b:2/d", "more than one host"),
        ("mysql://u@h:/d", "port is not a number"),
        ("mysql://u@h:0/d", "port is not a number"),
        ("mysql://u@h:+1/d", "port is not a number"),
        ("mysql://u@h:65536/d", "port is not a number"),
        ("mysql://u@h:http/d", "port is not a number"),
        ("mysql://u@[::1]:x/d", "port is not a number"),
        ("mysql://u@::1/d", "in brackets"),
        ("mysql://u@[::1/d", "never closed"),
        ("mysql://u@[::1]x/d", "between `]`"),
        ("mysql://u@[localhost]/d", "not an IPv6 address"),
        ("mysql://u@[]/d", "not an IPv6 address"),
        ("mysql://u@h%20x/d", "no host's name"),
        ("mysql://u@h/d/e", "splits it oddly"),
        ("mysql://u@h/d#e", "splits it oddly"),
        ("mysql://u@h/d%zz", "database is not well percent-encoded"),
        ("mysql://u%@h/d", "user is not well percent-encoded"),
        ("mysql://u%00@h/d", "user is not well percent-encoded"),
        ("mysql://u@h/mysql", "server's own"),
        ("mysql://u@h/Information_Schema", "server's own"),
        ("mysql://u@h/performance_schema", "server's own"),
        ("mariadb://u@h/s%79s", "server's own"),
        ("mysql://u@h/d%20", "no database can have"),
        (
            "mysql://u@h/ddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd",
            "no database can have",
        ),
    ] {
        let text = refused(url);
        assert!(text.contains(part), "{part} in\n{url}: {text}");
    }
}

#[test]
fn parameters_that_are_unknown_or_contradict_each_other_are_refused() {
    for (query, part) in [
        (
            "charset=utf8",
            "server_public_key | socket | tls | tls_ca | tls_cert | tls_key",
        ),
        ("tls_cart=x", "did you mean `tls_cert`?"),
        ("ssl-mode=REQUIRED", "tls=require"),
        ("password=x", "password = { file"),
        ("tls", "disable | prefer | require"),
        ("tls=verify_full", "did you mean `verify-full`?"),
        ("tls=require&tls=require", "twice"),
        ("tls_ca=/x", "trusts anybody"),
        ("tls=require&tls_ca=/x", "trusts anybody"),
        ("tls=require&tls_cert=/x", "belong together"),
        ("tls=verify-full&tls_key=/x", "belong together"),
        ("tls=prefer&tls_cert=/x&tls_key=/y", "not always be shown"),
        ("server_public_key=/x", "TLS is required"),
        ("tls=verify-full&server_public_key=/x", "TLS is required"),
        ("connect_timeout=0", "number of seconds"),
        ("connect_timeout=30s", "number of seconds"),
        ("connect_timeout=99999999999", "number of seconds"),
        ("tls=verify-full&tls_ca=", "names no file"),
        ("tls=verify-full&tls_ca=%zz", "not well percent-encoded"),
        ("socket=mysqld.sock", "not an absolute path"),
        ("socket=/x.sock", "a host and a socket"),
    ] {
        let text = refused(&format!("mysql://u@h/d?{query}"));
        assert!(text.contains(part), "{part} in\n{query}: {text}");
    }
    for (url, part) in [
        ("localhost:3306/d?socket=/x", "a host and a socket"),
        ("localhost/d?socket=/x&tls=require", "TLS through a socket"),
        ("localhost/d?tls_cert=/x&tls_key=/y", "not always be shown"),
        ("/d?socket=/x&server_public_key=/y", "of no use"),
        (
            "/d?socket=/x&tls=verify-ca&tls_ca=/y",
            "TLS through a socket",
        ),
    ] {
        let text = refused(&format!("mysql://u@{url}"));
        assert!(text.contains(part), "{part} in\n{url}: {text}");
    }
    read_right("mysql://u@localhost/d?socket=/x&tls=prefer");
}

#[test]
fn a_url_that_would_be_split_in_the_wrong_place_is_refused_without_being_quoted() {
    for url in [
        "mysql://u:hun/ter2@h/d",
        "mysql://u:12/hunter2@h/d",
        "mysql://u:hun?ter2@h/d",
        "mysql://u:hunter2#@h/d",
        "mysql://u:hunter2%zz@h/d",
        "mysql://u:hunter2@h:x/d",
        "mysql://u:hunter2@h,i/d",
        "mysql://u:hunter2@h",
        "mysql://u:hunter2",
        "mysql://u:p@hunter2:x@h:y/d",
        "mysql://u@h/d?password=hunter2",
    ] {
        let text = refused(url);
        assert!(!text.contains("ter2"), "{text}");
    }
}

#[test]
fn two_spellings_of_one_database_are_one_place() {
    let place = |url: &str| read_one(url).unwrap().0.place().to_owned();
    let same = |a: &str, b: &str| place(a) == place(b);
    assert!(same("mysql://a@H/d", "mariadb://b@h:3306/%64?tls=require"));
    assert!(same("mysql://a@[0::1]/d", "mysql://a@[::1]:3306/d"));
    assert!(same(
        "mysql://a@localhost/d?socket=/run/a",
        "mariadb://b@/d?socket=/run/%61"
    ));
    assert!(!same("mysql://a@h/d", "mysql://a@h/e"));
    assert!(!same("mysql://a@h/d", "mysql://a@h:3307/d"));
    assert!(!same("mysql://a@/d?socket=/a", "mysql://a@/d?socket=/b"));
    // A database's name has capitals or not.
    assert!(!same("mysql://a@h/d", "mysql://a@h/D"));
}

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,4}",
        "[:/@?#%&=\\[\\],.]{1,2}",
        "%[0-9a-f]{2}",
        "(socket|tls|tls_ca|tls_cert|tls_key|server_public_key|connect_timeout)=",
        "(localhost|::1|3306|/run/x|verify-full|mysql|é)",
    ]
}

proptest! {
    /// And what is accepted is read again as the same, by a store, or from a copy of the file.
    #[test]
    fn any_url_is_refused_or_read_the_same_twice(
        scheme in "(mysql|mariadb)",
        pieces in prop::collection::vec(piece(), 0..12),
        frame in any::<bool>(),
    ) {
        let inner = pieces.concat();
        let url = if frame { format!("{scheme}://u@h/d?{inner}") } else { format!("{scheme}://{inner}") };
        if let Ok((first, _)) = read_one(&url) {
            let again = read_one(first.text()).ok().map(|(url, _)| url.text().to_owned());
            prop_assert_eq!(again.as_deref(), Some(first.text()));
            prop_assert!(first.address::<MysqlUrl>().is_ok());
            prop_assert!(first.place() != first.text());
            prop_assert_eq!(first.kind(), Some(KIND));
        }
    }

    #[test]
    fn any_names_arrive_when_they_are_encoded(user in "\\PC{1,20}", password in "\\PC{1,20}", database in "\\PC{1,20}") {
        let all = |text: &str| text.bytes().fold(String::new(), |done, byte| format!("{done}%{byte:02x}"));
        prop_assume!(!database.ends_with(' ') && !SYSTEM.contains(&database.to_ascii_lowercase().as_str()));
        let url = format!("mysql://{}:{}@h/{}", all(&user), all(&password), all(&database));
        let (_, found) = read_right(&url);
        let parsed = understood(&url);
        prop_assert_eq!((parsed.user, parsed.database, found), (user, database, Some(password)));
    }
}

#[test]
fn tls_that_is_given_up_on_the_network_is_a_risk_and_on_this_machine_none() {
    for (url, key) in [
        ("mysql://u@db1/d?tls=prefer", "tls=prefer"),
        ("mariadb://u@10.0.0.1/d?tls=disable", "tls=disable"),
    ] {
        let (read, _) = read_one(url).unwrap();
        let found = read.risk().unwrap_or_else(|| panic!("{url}"));
        assert!(found.what.contains(key), "{url}: {found:?}");
    }
    for url in [
        "mysql://u@db1/d",
        "mysql://u@db1/d?tls=require",
        "mysql://u@127.0.0.1/d?tls=disable",
        "mysql://u@localhost/d?socket=/run/x&tls=disable",
    ] {
        let (read, _) = read_one(url).unwrap();
        assert_eq!(read.risk(), None, "{url}");
    }
}
