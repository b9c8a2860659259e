//! Sites, aliases of environments, and the API's settings.

use super::*;
use crate::config::http::{Listen, Proxy, Scope};
use crate::error::Kind;

const SITE: &str = r#"
[environments.production]
aliases = ["prod"]
[environments.staging]
aliases = ["stage"]
parent = "production"
[environments.integration]
parent = "staging"
[endpoints.main-staging]
environment = "staging"
url = "sqlite:staging.db"
[sites.main]
production = { database = "sqlite:production.db" }
stage = { database = "main-staging" }
hosts = { "www.example.org" = { stage = "www.staging.example.org" } }
"#;

#[test]
fn a_job_follows_from_a_site_and_two_environments() {
    let files = Files::new();
    let options = "[sites.main.tasks.database]\nexclude = [\"cache\"]\nverify = \"checksum\"\n";
    let (settings, warnings) = files
        .settings(&format!("{SITE}{options}"))
        .unwrap_or_else(|all| panic!("{all}"));
    assert_eq!(warnings, []);
    let job = settings.site_job("main", "prod", "stage").unwrap();
    assert_eq!(job.name.as_str(), "site:main production->staging");
    assert_eq!(
        (job.from.as_str(), job.to.as_str()),
        ("production", "staging")
    );
    assert_eq!(job.site.as_deref(), Some("main"));
    let [task] = &job.tasks[..] else { panic!() };
    assert_eq!(
        (task.name.as_str(), task.kind.as_str()),
        ("database", "sqlite")
    );
    assert_eq!(task.target.name.as_deref(), Some("main-staging"));
    assert_eq!(task.exclude, ["cache"]);
    assert_eq!(task.verify, Verify::Checksum);
    // By its name, too; and no other name is one.
    let named = settings.site_job_named("site:main production->staging");
    assert_eq!(named.unwrap().unwrap().name, job.name);
    for name in [
        "main",
        "site:main",
        "site:main production",
        "site: a->b",
        "site:main a/b->c",
    ] {
        assert!(settings.site_job_named(name).is_none(), "{name}");
    }
}

#[test]
fn what_policy_forbids_or_a_site_has_not_is_no_job() {
    let (settings, _) = Files::new().settings(SITE).unwrap();
    for (site, from, to, kind, part) in [
        (
            "mian",
            "prod",
            "stage",
            Kind::Unknown,
            "there is no site `mian`; did you mean `main`?",
        ),
        (
            "main",
            "stage",
            "prod",
            Kind::Policy,
            "`production` is a root environment",
        ),
        (
            "main",
            "stage",
            "stage",
            Kind::Policy,
            "cannot be copied into itself",
        ),
        (
            "main",
            "prod",
            "test",
            Kind::Policy,
            "environment `test` is not defined",
        ),
        ("main", "prod", "archive", Kind::Policy, "no environment"),
        (
            "main",
            "prod",
            "integration",
            Kind::Config,
            "site `main` has nothing in `integration`",
        ),
    ] {
        let error = settings.site_job(site, from, to).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn what_is_wrong_with_a_site_is_said_once_and_where() {
    for (text, part) in [
        (
            "[sites.main]\ntest = { database = \"sqlite:x.db\" }",
            "environment `test` is not defined",
        ),
        (
            "[sites.main]\nproduction = { index = \"x\" }",
            "`index` is not supported yet",
        ),
        (
            "[sites.main]\nproduction = { databse = \"sqlite:x.db\" }",
            "did you mean `database`?",
        ),
        (
            "[sites.main]\nproduction = { database = \"no-such\" }\nstage = { database = \"sqlite:y.db\" }\nintegration = { database = \"sqlite:z.db\" }",
            "no-such",
        ),
        (
            "[sites.main]\nproduction = { database = \"file:///srv/a\" }\nstage = { database = \"sqlite:y.db\" }",
            "this is an archive",
        ),
        (
            "[sites.main]\nproduction = { database = \"sqlite:x.db\" }\nstage = { database = \"sqlite:y.db\" }\nintegration = { database = \"sqlite:z.db\" }\n[sites.main.tasks.database]\nexclud = [\"x\"]",
            "sites.main.tasks.database.exclud",
        ),
        (
            "[sites.main.tasks.database]\nsource = \"x\"",
            "a site's environments say what is copied",
        ),
        ("[sites.main.tasks.index]", "`index` is not supported yet"),
        (
            "[sites.main]\nproduction = { files = \"sqlite:x.db\" }\nstage = { files = \"sqlite:y.db\" }",
            "a site's files cannot be of the kind `sqlite`",
        ),
        (
            "[sites.main.hooks]\nafter_publsh = [\"x\"]",
            "sites.main.hooks.after_publsh",
        ),
        (
            "[sites.main.hooks]\nmaintenance_on = [\"x\"]",
            "there is no `maintenance_off`",
        ),
        ("[sites.\"a b\"]", "cannot be a site's name"),
        (
            "[environments.test]\naliases = [\"prod\"]",
            "is a name of the environment `production` already",
        ),
        (
            "[environments.test]\naliases = [\"a b\"]",
            "cannot be an alias",
        ),
    ] {
        let environments = SITE.split("[endpoints").next().unwrap();
        let shown = wrong_settings(&format!("{environments}{text}"));
        assert_eq!(shown.matches("error:").count(), 1, "{shown}");
        assert!(shown.contains(part), "{part} in\n{shown}");
        assert!(shown.contains("envsyncd.toml:"), "{shown}");
    }
}

#[test]
fn a_job_says_which_site_it_belongs_to() {
    let text = format!("site = \"main\"\nfrom = \"prod\"\nto = \"staging\"\n{TASK}");
    let (job, _) = Files::new().job(SITE, &text).unwrap();
    assert_eq!(job.site.as_deref(), Some("main"));
    assert_eq!(job.from.as_str(), "production");
    let files = Files::new();
    let wrong = files
        .job(SITE, &text.replace("main", "mian"))
        .unwrap_err()
        .to_string();
    assert!(
        wrong.contains("there is no site `mian`") && wrong.contains("did you mean `main`?"),
        "{wrong}"
    );
}

#[test]
fn the_api_is_off_unless_it_is_there_and_every_key_of_it_arrives() {
    assert!(Files::new().settings("").unwrap().0.http.is_none());
    let http = |text: &str| {
        let (settings, _) = Files::new()
            .settings(text)
            .unwrap_or_else(|all| panic!("{all}"));
        settings.http.unwrap()
    };
    let plain = http("[http]");
    assert_eq!(plain.listen, Listen::Unix("/run/envsyncd/http.sock".into()));
    assert!(plain.tls.is_none() && plain.peer_users.is_empty() && plain.trusted_proxy.is_none());
    let local =
        http("[http]\nlisten = \"unix:/x/s\"\npeer_users = { root = \"admin\", deploy = \"run\" }");
    assert_eq!(local.listen, Listen::Unix("/x/s".into()));
    assert_eq!(local.peer_users["deploy"], Scope::Run);
    let far = http(
        "[http]\nlisten = \"0.0.0.0:8463\"\ntls = { certificate = \"/c\", key = \"/k\" }\nhosts = [\"Sync.Example.org\"]\ntrusted_proxy = \"10.0.0.1\"\nuser_header = \"X-User\"\nproxy_scope = \"run\"",
    );
    assert_eq!(far.hosts, ["sync.example.org"]);
    assert_eq!(
        far.trusted_proxy,
        Some(Proxy::Address("10.0.0.1".parse().unwrap()))
    );
    assert_eq!(far.user_header.as_deref(), Some("x-user"));
    assert_eq!(far.proxy_scope, Scope::Run);
}

#[test]
fn an_api_that_would_be_open_or_means_nothing_is_refused() {
    for (text, part) in [
        ("listen = \"x\"", "is no address to listen at"),
        (
            "listen = \"0.0.0.0:8463\"",
            "is not loopback, and there is no `tls`",
        ),
        (
            "tls = { certificate = \"c\", key = \"k\" }",
            "a unix socket has no TLS",
        ),
        (
            "listen = \"127.0.0.1:1\"\ntls = { certificate = \"c\" }",
            "`key` is missing",
        ),
        (
            "listen = \"127.0.0.1:1\"\npeer_users = { root = \"admin\" }",
            "only a unix socket knows its peers",
        ),
        ("peer_users = { root = \"all\" }", "read | run | admin"),
        ("trusted_proxy = \"unix\"", "`user_header` is missing"),
        ("user_header = \"x-user\"", "`trusted_proxy` is missing"),
        (
            "listen = \"127.0.0.1:1\"\ntrusted_proxy = \"unix\"\nuser_header = \"x-user\"",
            "is no unix socket",
        ),
        ("hosts = [\"a/b\"]", "is no host's name"),
        ("lissten = \"x\"", "did you mean `listen`?"),
    ] {
        let shown = wrong_settings(&format!("[http]\n{text}"));
        assert_eq!(shown.matches("error:").count(), 1, "{shown}");
        assert!(shown.contains(part), "{part} in\n{shown}");
    }
}
