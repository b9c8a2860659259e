//! The snippets for nginx and Apache, in real servers.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::Stand;
use crate::support::origin::{Answer, ask, get};
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
    assert_eq!(asks(style).text(), format!("the site: {files}{style}"));
    assert_eq!(fs::read(stand.path("photo.jpg")).unwrap(), b"the original");
    assert_eq!(
        asks("/none.jpg").text(),
        format!("the site: {files}/none.jpg")
    );
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

fn snippet(name: &str, stand: &Stand) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("packaging")
        .join(name);
    let text = fs::read_to_string(file).unwrap();
    text.replace("127.0.0.1:8464", &format!("127.0.0.1:{}", stand.port))
}

#[test]
fn nginx_sends_what_is_there_and_has_what_is_missing_from_the_file_proxy() {
    let stand = site("original_first = true");
    let (port, directory) = (free_port(), stand.bed.path(""));
    let place = directory.display();
    let config = format!(
        "daemon off; master_process off; pid {place}/nginx.pid; error_log stderr;
         events {{ worker_connections 512; }}
         http {{ access_log off; default_type application/octet-stream;
           client_body_temp_path {place}/t1; proxy_temp_path {place}/t2; fastcgi_temp_path {place}/t3;
           uwsgi_temp_path {place}/t4; scgi_temp_path {place}/t5;
           server {{ listen 127.0.0.1:{port}; root {place}/web;
             location = /index.php {{ return 200 \"the site: $request_uri\"; }}
             {}
           }} }}",
        snippet("nginx/envsyncd-files.conf", &stand)
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
    let server = WebServer::start(&mut command, port, &directory);
    holds(&stand, &server);
    // A file proxy that is not there is no reason for the site to fail.
    drop(stand.running);
    let reply = get(server.port, "/sites/default/files/other.jpg", &[]);
    assert_eq!(reply.text(), "the site: /sites/default/files/other.jpg");
}

#[test]
fn apache_sends_what_is_there_and_has_what_is_missing_from_the_file_proxy() {
    let stand = site("original_first = true");
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
    fs::write(
        &controller,
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nthe site: %s' \"$REQUEST_URI\"\n",
    )
    .unwrap();
    fs::set_permissions(&controller, fs::Permissions::from_mode(0o755)).unwrap();
    let config = format!(
        "ServerRoot {place}\nServerName staging\nListen 127.0.0.1:{port}\nPidFile {place}/apache.pid\nErrorLog /dev/stderr\nMutex file:{place}\n{modules}
         User www-data\nGroup www-data\nDocumentRoot {place}/web\n<Directory {place}/web>\nAllowOverride None\nRequire all granted\n</Directory>\n<Files index.php>\nOptions +ExecCGI\nSetHandler cgi-script\n</Files>\n{}\n",
        snippet("apache/envsyncd-files.conf", &stand)
    );
    fs::write(directory.join("apache.conf"), config).unwrap();
    let mut command = Command::new("/usr/sbin/apache2");
    command
        .args(["-D", "FOREGROUND", "-f"])
        .arg(directory.join("apache.conf"));
    let server = WebServer::start(&mut command, port, &directory);
    holds(&stand, &server);
}
