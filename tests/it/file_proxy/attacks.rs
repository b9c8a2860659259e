//! Names that somebody hopes will lead elsewhere.

use std::fs;
use std::os::unix::fs::symlink;

use super::Stand;
use crate::support::origin::get;

#[test]
fn no_path_leads_out_of_the_directory_in_any_encoding() {
    let stand = Stand::new("");
    fs::write(stand.bed.path("secret.txt"), "secret").unwrap();
    fs::create_dir(stand.path("a")).unwrap();
    for path in [
        "/../secret.txt",
        "/a/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/.%2e/secret.txt",
        "/%2E%2E%2Fsecret.txt",
        "/..%2fsecret.txt",
        "/..%5csecret.txt",
        "/..\\secret.txt",
        "/a/%2e%2e/%2e%2e/secret.txt",
        "/%252e%252e/secret.txt",
        "/%252e%252e%252fsecret.txt",
        "/%c0%ae%c0%ae/secret.txt",
        "/%c0%ae%c0%ae%c0%afsecret.txt",
        "/..%00/secret.txt",
        "/a.jpg%00.txt",
        "//../secret.txt",
        "/./../secret.txt",
        "/..;/secret.txt",
        "/%uff0e%uff0e/secret.txt",
        "/a/..%2f..%2fsecret.txt",
        "/%2fetc/passwd",
        "//etc/passwd",
        "/%5c%5cetc/passwd",
        "http://staging/../secret.txt",
        "*",
        "/%",
        "/%zz",
        "/a%0d%0aX:%20y",
        "/proc/self/environ/",
        "/a/",
    ] {
        let reply = get(stand.port, path, &[]);
        assert!(matches!(reply.status, 400 | 404), "{path}: {reply:?}");
        assert!(
            !reply.text().contains("secret") && !reply.text().contains("root:"),
            "{path}"
        );
    }
    // Escaped twice it is a name with a percent sign in it, and still one below the directory.
    let asked = stand.origin.asked();
    for head in &asked {
        let path = head.split(' ').nth(1).unwrap();
        let decoded = path.replace("%25", "%");
        assert!(
            path.starts_with("/files/") && !path.contains("..") || path.contains("..;"),
            "{path} {decoded}"
        );
        assert!(
            !path.to_lowercase().contains("%2e")
                && !path.to_lowercase().contains("%2f")
                && !path.contains("%5c"),
            "{path}"
        );
    }
    stand.write("%2e%2e", "a name");
    assert_eq!(stand.get("/%252e%252e").text(), "a name");
}

#[test]
fn no_link_is_followed_and_only_regular_files_are_sent() {
    let stand = Stand::new("");
    fs::write(stand.bed.path("secret.txt"), "secret").unwrap();
    fs::create_dir(stand.bed.path("outside")).unwrap();
    stand.write("real/a.txt", "x");
    symlink(stand.bed.path("secret.txt"), stand.path("link.txt")).unwrap();
    symlink("../secret.txt", stand.path("relative.txt")).unwrap();
    symlink(stand.bed.path("outside"), stand.path("out")).unwrap();
    symlink("real", stand.path("in")).unwrap();
    symlink("nowhere", stand.path("dangling.jpg")).unwrap();
    symlink("/proc/self/root", stand.path("magic")).unwrap();
    nix::unistd::mkfifo(&stand.path("pipe.txt"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(stand.path("socket.txt")).unwrap();
    for path in [
        "/link.txt",
        "/relative.txt",
        "/in/a.txt",
        "/out/new.jpg",
        "/dangling.jpg",
        "/magic/etc/passwd",
        "/pipe.txt",
        "/socket.txt",
        "/real",
        "/real/a.txt/b.jpg",
    ] {
        stand.origin.file(path, "from production");
        let reply = stand.get(path);
        assert_eq!(reply.status, 404, "{path}: {}", reply.text());
    }
    assert!(stand.origin.asked().is_empty());
    assert_eq!(fs::read_dir(stand.bed.path("outside")).unwrap().count(), 0);
}

#[test]
fn private_names_are_neither_sent_nor_fetched() {
    let stand = Stand::new("exclude = [\"!*.php\", \"!private/\"]");
    let names = [
        "private/a.jpg",
        "PRIVATE/a.jpg",
        "a/private/b.jpg",
        ".htaccess",
        "a/.git/config",
        "a.php",
        "a.PHP",
        "a.pHp7",
        "a.phtml",
        "a.php.jpg",
        "dump.sql",
        "dump.SQL",
        "dump.sql.gz",
        ".envsyncd-proxy/kept",
        "%70rivate/a.jpg",
        "a.%70hp",
        "%2ehtaccess",
    ];
    for name in names {
        stand.origin.file(&format!("/{name}"), "from production");
        if !name.contains('%') && !name.starts_with(".envsyncd") {
            stand.write(name, "here");
        }
        let reply = stand.get(&format!("/{name}"));
        assert_eq!(
            (reply.status, reply.text().as_str()),
            (404, "files of this name are not served\n"),
            "{name}"
        );
    }
    assert!(stand.origin.asked().is_empty());
}

#[test]
fn names_that_are_strange_and_good_are_served() {
    let stand = Stand::new("");
    let long = "é".repeat(127);
    for name in [
        "a b+c&d=e;f.txt",
        "ünï/çödé.txt",
        "#?.txt",
        "a'\"<>.txt",
        "100%.txt",
        &long,
    ] {
        stand.write(name, name);
        let escaped: String = name
            .bytes()
            .map(|byte| {
                if byte == b'/' {
                    "/".to_owned()
                } else {
                    format!("%{byte:02x}")
                }
            })
            .collect();
        assert_eq!(stand.get(&format!("/{escaped}")).text(), *name, "{name}");
    }
    // What no file can be called is asked for nowhere.
    for path in [
        format!("/{}.jpg", "a".repeat(260)),
        format!("/{}", "a/".repeat(3000) + "a.jpg"),
    ] {
        assert_eq!(stand.get(&path).status, 404);
    }
    assert!(stand.origin.asked().is_empty());
}
