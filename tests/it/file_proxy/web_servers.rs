//! The snippets for nginx and Apache, in real servers.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::Stand;
use crate::support::origin::{Answer, Origin, ask, get};
use crate::support::postgres::free_port;
use crate::support::wait_until;

/// A server in the foreground, ended with its children.
pub(super) struct WebServer {
    child: Child,
    port: u16,
}

impl WebServer {
    pub(super) fn start(command: &mut Command, port: u16, directory: &Path) -> Self {
        let log = fs::File::create(directory.join("server.err")).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            // Apache ends its whole group.
            .process_group(0)
            .spawn()
            .expect("a web server: script/install-test-deps");
        let mut server = Self { child, port };
        wait_until("the web server listens", || {
            let said = || fs::read_to_string(directory.join("server.err")).unwrap_or_default();
            assert!(server.child.try_wait().unwrap().is_none(), "{}", said());
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        server
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

/// A Drupal site's directory with a front controller that says what it was asked for.
fn site(lines: &str) -> Stand {
    let mut stand = Stand::still(lines);
    fs::remove_dir(stand.bed.path("root")).unwrap();
    fs::create_dir_all(stand.bed.path("web/sites/default/files")).unwrap();
    std::os::unix::fs::symlink("web/sites/default/files", stand.bed.path("root")).unwrap();
    // Both have to read what is in a test's own directory.
    for place in [
        "",
        "web",
        "web/sites",
        "web/sites/default",
        "web/sites/default/files",
    ] {
        fs::set_permissions(stand.bed.path(place), fs::Permissions::from_mode(0o755)).unwrap();
    }
    stand.start();
    stand
}

/// What its front controller says of a request for this.
fn of_the_site(target: &str) -> String {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    format!("the site: {target} [{query}]")
}

/// What both have to do.
fn holds(stand: &Stand, server: &WebServer) {
    let files = "/sites/default/files";
    let asks = |path: &str| {
        get(
            server.port,
            &format!("{files}{path}"),
            &["Cookie: session=secret"],
        )
    };
    stand.write("here.jpg", "nginx's and Apache's own");
    assert_eq!(asks("/here.jpg").text(), "nginx's and Apache's own");
    let content: Vec<u8> = (0..600_000_u32)
        .map(|number| (number % 249) as u8)
        .collect();
    stand.origin.put(
        "/2024/a%20b.jpg",
        Answer::new(200, content.clone()).still_after(200_000),
    );
    let mut one = ask(
        server.port,
        "GET",
        &format!("{files}/2024/a%20b.jpg?itok=1"),
        &[],
    );
    let (head, first) = one.first(150_000);
    assert!(
        head.starts_with("HTTP/1.1 200")
            && head
                .to_lowercase()
                .contains("x-content-type-options: nosniff"),
        "{head}"
    );
    assert!(first == content[..150_000]);
    stand.origin.open();
    assert!(one.rest() == content[150_000..]);
    wait_until("it is kept", || stand.path("2024/a b.jpg").is_file());
    assert!(asks("/2024/a%20b.jpg").body == content);
    assert_eq!(stand.origin.asked().len(), 1);
    assert!(!stand.origin.asked()[0].contains("secret"));
    // A style whose original is here now, and what production has not: both are the site's.
    stand.origin.file("/photo.jpg", "the original");
    let style = "/styles/large/public/photo.jpg?itok=x";
    for (path, status) in [(style, 200), ("/none.jpg", 200), ("/nowhere.jpg", 404)] {
        let reply = asks(path);
        let expected = (status, of_the_site(&format!("{files}{path}")));
        assert_eq!((reply.status, reply.text()), expected);
    }
    assert_eq!(fs::read(stand.path("photo.jpg")).unwrap(), b"the original");
    // Never sent, never fetched.
    let before = stand.origin.asked().len();
    for name in [
        "/.envsyncd-proxy/kept",
        "/private/a.jpg",
        "/a.php",
        "/dump.sql.gz",
        "/.htaccess",
        "/a.PHP",
    ] {
        stand.origin.file(name, "production's");
        if !name.starts_with("/.envsyncd") {
            stand.write(&name[1..], "secret");
        }
        let reply = asks(name);
        assert!(
            matches!(reply.status, 403 | 404) && !reply.text().contains("secret"),
            "{name} {reply:?}"
        );
    }
    for path in [
        "/../../../../envsyncd.toml",
        "/%2e%2e/%2e%2e/%2e%2e/%2e%2e/envsyncd.toml",
        "/..%2f..%2f..%2f..%2fenvsyncd.toml",
    ] {
        assert!(!asks(path).text().contains("host_environment"), "{path}");
    }
    assert_eq!(stand.origin.asked().len(), before);
}

/// A snippet with the file proxy at this port.
fn snippet(name: &str, proxy: u16) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("packaging")
        .join(name);
    let text = fs::read_to_string(file).unwrap();
    text.replace("127.0.0.1:8464", &format!("127.0.0.1:{proxy}"))
}

/// nginx in front of the site, with the file proxy at this port.
fn nginx(stand: &Stand, proxy: u16) -> WebServer {
    let (port, directory) = (free_port(), stand.bed.path(""));
    let place = directory.display();
    let config = format!(
        "daemon off; master_process off; pid {place}/nginx.pid; error_log stderr;
         events {{ worker_connections 512; }}
         http {{ access_log off; default_type application/octet-stream;
           client_body_temp_path {place}/t1; proxy_temp_path {place}/t2; fastcgi_temp_path {place}/t3;
           uwsgi_temp_path {place}/t4; scgi_temp_path {place}/t5;
           server {{ listen 127.0.0.1:{port}; root {place}/web;
             add_header X-Content-Type-Options nosniff always;
             location = /index.php {{
               if ($request_uri ~ nowhere) {{ return 404 \"the site: $request_uri [$args]\"; }}
               return 200 \"the site: $request_uri [$args]\";
             }}
             {}
           }} }}",
        snippet("nginx/envsyncd-files.conf", proxy)
    );
    fs::write(directory.join("nginx.conf"), config).unwrap();
    let mut command = Command::new("/usr/sbin/nginx");
    command
        .arg("-e")
        .arg("stderr")
        .arg("-p")
        .arg(&directory)
        .arg("-c")
        .arg(directory.join("nginx.conf"));
    WebServer::start(&mut command, port, &directory)
}

/// Apache, likewise.
fn apache(stand: &Stand, proxy: u16) -> WebServer {
    let (port, directory) = (free_port(), stand.bed.path(""));
    let place = directory.display();
    let modules = [
        "mpm_prefork",
        "cgi",
        "authz_core",
        "alias",
        "rewrite",
        "proxy",
        "proxy_http",
        "headers",
        "dir",
    ]
    .map(|module| format!("LoadModule {module}_module /usr/lib/apache2/modules/mod_{module}.so\n"))
    .concat();
    let controller = stand.bed.path("web/index.php");
    // As PHP's FPM, it says no status where that is 200.
    fs::write(
        &controller,
        "#!/bin/sh\ncase $REQUEST_URI in *nowhere*) printf 'Status: 404 Not Found\\n' ;; esac\n\
         printf 'Content-Type: text/plain\\n\\nthe site: %s [%s]' \"$REQUEST_URI\" \"$QUERY_STRING\"\n",
    )
    .unwrap();
    fs::set_permissions(&controller, fs::Permissions::from_mode(0o755)).unwrap();
    let config = format!(
        "ServerRoot {place}\nServerName staging\nListen 127.0.0.1:{port}\nPidFile {place}/apache.pid\nErrorLog /dev/stderr\nMutex file:{place}\n{modules}
         User www-data\nGroup www-data\nDocumentRoot {place}/web\n<Directory {place}/web>\nAllowOverride None\nRequire all granted\n</Directory>\n<Files index.php>\nOptions +ExecCGI\nSetHandler cgi-script\n</Files>\n\
         Header always set X-Content-Type-Options nosniff\n{}\n",
        snippet("apache/envsyncd-files.conf", proxy)
    );
    fs::write(directory.join("apache.conf"), config).unwrap();
    let mut command = Command::new("/usr/sbin/apache2");
    command
        .args(["-D", "FOREGROUND", "-f"])
        .arg(directory.join("apache.conf"));
    WebServer::start(&mut command, port, &directory)
}

/// Both, by how they are started.
const SERVERS: [fn(&Stand, u16) -> WebServer; 2] = [nginx, apache];

#[test]
fn nginx_sends_what_is_there_and_has_what_is_missing_from_the_file_proxy() {
    let stand = site("original_first = true");
    let server = nginx(&stand, stand.port);
    holds(&stand, &server);
}

#[test]
fn apache_sends_what_is_there_and_has_what_is_missing_from_the_file_proxy() {
    let stand = site("original_first = true");
    let server = apache(&stand, stand.port);
    holds(&stand, &server);
}

/// What an answer's head says against running in the site's name, in order; what is said twice is there twice.
fn guards(head: &str) -> Vec<String> {
    let head = head.to_lowercase();
    let is_guard = |line: &&str| {
        [
            "content-disposition:",
            "content-security-policy:",
            "x-content-type-options:",
        ]
        .iter()
        .any(|name| line.starts_with(*name))
    };
    let mut found: Vec<String> = head.lines().filter(is_guard).map(str::to_owned).collect();
    found.sort();
    found
}

/// The endings that the file proxy knows a type of.
fn endings() -> Vec<&'static str> {
    let source = include_str!("../../../src/proxy/media.rs");
    let table = source
        .split_once("const TYPES")
        .and_then(|(_, rest)| rest.split_once("];"))
        .map(|(table, _)| table)
        .expect("the table");
    let texts = table.split('"').skip(1).step_by(2);
    texts.filter(|text| !text.contains('/')).collect()
}

#[test]
fn a_file_runs_nothing_in_the_site_s_name_whether_it_was_there_or_is_fetched() {
    let all = [
        "content-disposition: attachment",
        "content-security-policy: sandbox; default-src 'none'",
        "x-content-type-options: nosniff",
    ];
    let endings = endings();
    assert!(endings.contains(&"svg") && endings.contains(&"docx"));
    for start in SERVERS {
        let mut stand = site("");
        let server = start(&stand, stand.port);
        let asks = |port: u16, path: &str| {
            let mut asking = ask(port, "GET", path, &[]);
            let guards = guards(asking.head());
            (guards, asking.reply("GET"))
        };
        let through = |name: &str| asks(server.port, &format!("/sites/default/files/{name}"));
        // Of each kind, the file proxy's answer is what the web server's is to be like.
        for ending in &endings {
            let name = format!("there.{ending}");
            stand.write(&name, "there");
            let (meant, _) = asks(stand.port, &format!("/{name}"));
            let (said, reply) = through(&name);
            assert_eq!((reply.text().as_str(), said), ("there", meant), "{name}");
        }
        let fetched = [
            ("evil.svg", &all[..]),
            ("page.html", &all[..]),
            ("FEED.XML", &all[..]),
            ("photo.jpg", &all[1..]),
        ];
        for (name, expected) in fetched {
            stand.origin.file(&format!("/{name}"), "far");
            let (said, reply) = through(name);
            assert_eq!((reply.status, reply.text().as_str()), (200, "far"));
            assert_eq!(said, expected, "{name}");
            wait_until("it is kept", || stand.path(name).is_file());
        }
        // From now on nobody else can have sent them.
        drop(stand.running.take());
        for (name, expected) in fetched {
            let (said, reply) = through(name);
            assert_eq!((reply.status, reply.text().as_str()), (200, "far"));
            assert_eq!(said, expected, "{name}");
        }
    }
}

#[test]
fn names_that_the_file_proxy_never_sends_are_sent_by_no_web_server() {
    for start in SERVERS {
        let stand = site("");
        let server = start(&stand, stand.port);
        let asks = |name: &str| get(server.port, &format!("/sites/default/files/{name}"), &[]);
        for name in [
            "private/a.jpg",
            "a/PRIVATE/b/c.jpg",
            "b/private",
            ".htaccess",
            "a/.git/config",
            "a.php",
            "a.php~",
            "b/a.pHp5",
            "a.php.jpg",
            "a.php5.jpg",
            "a.phps",
            "a.pht",
            "a.pht.jpg",
            "a.phtml",
            "a.PHTML.jpg",
            "a.phar",
            "a.phar.jpg",
            "dump.sql",
            "dump.sql~",
            "dump.SQL.gz",
            "x.php/a.jpg",
        ] {
            stand.write(name, "secret");
            let reply = asks(name);
            assert!(
                matches!(reply.status, 403 | 404) && !reply.text().contains("secret"),
                "{name} {reply:?}"
            );
        }
        for name in [
            "privates/a.jpg",
            "a.phpx",
            "sql/a.jpg",
            "php.jpg",
            "a.sqlite",
        ] {
            stand.write(name, "public");
            assert_eq!(asks(name).text(), "public", "{name}");
        }
    }
}

#[test]
fn what_the_file_proxy_cannot_answer_is_the_site_s_matter() {
    for start in SERVERS {
        let stand = site("");
        // It answers in the file proxy's place.
        let proxy = Origin::new();
        let server = start(&stand, proxy.port);
        let asks = |target: &str| get(server.port, target, &[]);
        for status in [404, 500, 502, 503, 504, 507, 403] {
            // nginx passes the query on, and the file proxy leaves it.
            for query in ["", "?itok=x"] {
                let answer = Answer::new(status, "the file proxy's");
                proxy.put_at(&format!("/{status}.jpg{query}"), answer);
            }
            let target = format!("/sites/default/files/{status}.jpg?itok=x");
            let reply = asks(&target);
            let expected = if status == 403 {
                (403, "the file proxy's".to_owned())
            } else {
                (200, of_the_site(&target))
            };
            assert_eq!((reply.status, reply.text()), expected);
            let asked = proxy.asked();
            let last = asked.last().expect("a request");
            assert!(last.starts_with(&format!("GET /{status}.jpg")), "{last}");
        }
        drop(server);
        // A file proxy that is not there is no reason for the site to fail.
        let server = start(&stand, free_port());
        let target = "/sites/default/files/other.jpg";
        let reply = get(server.port, target, &[]);
        assert_eq!((reply.status, reply.text()), (200, of_the_site(target)));
    }
}
