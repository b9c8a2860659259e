//! An origin with TLS: whom it is believed by.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::Stand;
use super::web_servers::WebServer;
use crate::support::certificates;
use crate::support::postgres::free_port;
use crate::support::wait_until;

/// nginx with a certificate of an authority of its own.
fn origin(at: &Path, port: u16) -> WebServer {
    fs::create_dir_all(at.join("www/files")).unwrap();
    fs::write(at.join("www/files/a.jpg"), "from production").unwrap();
    fs::write(at.join("www/files/b.jpg"), "more of it").unwrap();
    certificates::make(at);
    let place = at.display();
    let user = if nix::unistd::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    let config = format!(
        "{user} daemon off; master_process off; pid {place}/nginx.pid; error_log stderr;
         events {{ worker_connections 64; }}
         http {{ access_log off; types {{ image/jpeg jpg; }}
           client_body_temp_path {place}/t1; proxy_temp_path {place}/t2; fastcgi_temp_path {place}/t3;
           uwsgi_temp_path {place}/t4; scgi_temp_path {place}/t5;
           server {{ listen 127.0.0.1:{port} ssl; listen 127.0.0.2:{port} ssl; root {place}/www;
             ssl_certificate {place}/server.crt; ssl_certificate_key {place}/server.key; }} }}"
    );
    fs::write(at.join("nginx.conf"), config).unwrap();
    let mut command = Command::new("/usr/sbin/nginx");
    command.args(["-e", "stderr", "-p"]).arg(at);
    command.arg("-c").arg(at.join("nginx.conf"));
    WebServer::start(&mut command, port, at)
}

#[test]
fn an_origin_is_believed_by_its_authority_alone() {
    let mut stand = Stand::still("");
    let [at, other] = ["origin", "other"].map(|name| stand.bed.path(name));
    let port = free_port();
    fs::create_dir(&other).unwrap();
    certificates::make(&other);
    fs::create_dir(&at).unwrap();
    let _nginx = origin(&at, port);
    let base = stand.origin.url();
    let set = |stand: &Stand, host: &str, line: &str| {
        let table = stand.table(line);
        let table = table.replace(&base, &format!("https://{host}:{port}/files"));
        fs::write(stand.bed.path("envsyncd.toml"), table).unwrap();
    };
    set(&stand, "127.0.0.1", "ca_file = \"origin/ca.crt\"");
    stand.start();
    assert_eq!(stand.get("/a.jpg").text(), "from production");
    wait_until("it is kept", || stand.path("a.jpg").is_file());
    stand.stop().expect(0);
    // Another authority, the machine's own, and a name that the certificate has not.
    for (host, line) in [
        ("127.0.0.1", "ca_file = \"other/ca.crt\""),
        ("127.0.0.1", ""),
        ("127.0.0.2", "ca_file = \"origin/ca.crt\""),
    ] {
        set(&stand, host, line);
        stand.start();
        let reply = stand.get("/b.jpg");
        assert_eq!(reply.status, 503, "{host} {line}: {reply:?}");
        assert!(!reply.text().contains("more of it"));
        // What is there is sent all the same.
        assert_eq!(stand.get("/a.jpg").text(), "from production");
        stand.stop().expect(0);
    }
    assert_eq!(stand.files(), ["a.jpg"]);
}
