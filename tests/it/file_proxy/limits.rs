//! Limits, so that who floods a file proxy floods neither production nor the disk.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::Stand;
use crate::support::origin::{Answer, Framing, ask};
use crate::support::wait_until;

#[test]
fn a_name_that_the_origin_has_not_is_asked_for_once_in_a_while() {
    let stand = Stand::new("negative_ttl = \"1h\"");
    for _ in 0..50 {
        assert_eq!(stand.get("/none.jpg").status, 404);
    }
    assert_eq!(stand.origin.asked().len(), 1);
    // A file that comes into being meanwhile is there.
    stand.write("none.jpg", "x");
    assert_eq!(stand.get("/none.jpg").status, 200);
    fs::remove_file(stand.path("none.jpg")).unwrap();
    assert_eq!(stand.get("/none.jpg").status, 404);
    assert_eq!(stand.origin.asked().len(), 1);
    let stand = Stand::new("negative_ttl = \"1s\"");
    assert_eq!(stand.get("/none.jpg").status, 404);
    stand.origin.file("/none.jpg", "now it has");
    wait_until("it is asked again", || stand.get("/none.jpg").status == 200);
    assert_eq!(stand.origin.asked().len(), 2);
}

#[test]
fn a_flood_of_missing_names_does_not_reach_the_origin() {
    let stand = Stand::new("rate = 5\nmax_fetches = 2");
    let begun = Instant::now();
    let asking: Vec<_> = (0..600)
        .map(|number| ask(stand.port, "GET", &format!("/{number}.jpg"), &[]))
        .collect();
    let statuses: Vec<u16> = asking
        .into_iter()
        .map(|one| one.reply("GET").status)
        .collect();
    let asked = stand.origin.asked().len();
    let most = 5 + 5 * (begun.elapsed().as_secs() as usize + 1);
    assert!(asked <= most, "{asked} requests in {:?}", begun.elapsed());
    assert!(statuses.iter().all(|status| matches!(status, 404 | 503)));
    assert!(statuses.iter().filter(|status| **status == 503).count() > 400);
}

#[test]
fn a_redirect_that_is_followed_is_a_request_like_others() {
    let stand = Stand::new("rate = 2");
    for (from, to) in [("/a.jpg", "b"), ("/b.jpg", "c"), ("/c.jpg", "d")] {
        let location = format!("Location: /files/{to}.jpg");
        stand
            .origin
            .put(from, Answer::new(302, "").header(&location));
    }
    stand.origin.file("/d.jpg", "moved");
    let begun = Instant::now();
    assert_eq!(stand.get("/a.jpg").text(), "moved");
    // Two of the four go at once.
    assert!(
        begun.elapsed() > Duration::from_millis(900),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(stand.origin.asked().len(), 4);
}

#[test]
fn a_file_that_is_too_large_is_not_kept() {
    let stand = Stand::new("max_size = \"1MiB\"");
    stand.origin.file("/said.jpg", vec![1; 1_100_000]);
    assert_eq!(stand.get("/said.jpg").status, 502);
    stand.origin.put(
        "/silent.jpg",
        Answer::new(200, vec![1; 1_100_000])
            .framed(Framing::Chunks)
            .still_after(500_000),
    );
    let mut one = ask(stand.port, "GET", "/silent.jpg", &[]);
    one.head();
    stand.origin.open();
    let reply = one.reply("GET");
    assert_eq!((reply.status, reply.is_whole), (200, false));
    wait_until("it is known", || {
        stand.get("/silent.jpg").text() == "the file is larger than `max_size`\n"
    });
    wait_until("nothing is left", || stand.unfinished() == 0);
    assert!(stand.files().is_empty());
}

#[test]
fn fetched_files_take_no_more_of_the_disk_than_they_may() {
    let mut stand = Stand::new("max_disk = \"2MiB\"");
    for name in ["a", "b", "c"] {
        stand
            .origin
            .file(&format!("/{name}.bin"), vec![1; 1_000_000]);
    }
    for name in ["a", "b"] {
        assert_eq!(stand.get(&format!("/{name}.bin")).status, 200);
        wait_until("it is kept", || {
            stand.path(&format!("{name}.bin")).is_file()
        });
    }
    assert_eq!(stand.get("/c.bin").status, 507);
    assert_eq!(stand.get("/a.bin").status, 200);
    stand.stop().expect(0);
    stand.start();
    assert_eq!(stand.get("/c.bin").status, 507);
    // What the site has removed takes nothing.
    stand.stop().expect(0);
    fs::remove_file(stand.path("a.bin")).unwrap();
    stand.start();
    assert_eq!(stand.get("/c.bin").status, 200);
    wait_until("it is kept", || stand.path("c.bin").is_file());
}

/// A small file system; `None`: none can be mounted here.
fn small(at: &Path) -> Option<Mounted> {
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
        .arg(at)
        .output();
    mounted
        .is_ok_and(|done| done.status.success())
        .then(|| Mounted(at.to_owned()))
}

struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_keeps_nothing_half_and_serves_what_is_there() {
    let mut stand = Stand::still("");
    let Some(_mounted) = small(&stand.bed.path("root")) else {
        return;
    };
    stand.start();
    stand.write("there.txt", "x");
    stand.origin.file("/a.bin", vec![1; 3_000_000]);
    assert!(!stand.get("/a.bin").is_whole_file());
    wait_until("nothing is left", || stand.unfinished() == 0);
    assert_eq!(stand.files(), ["there.txt"]);
    assert_eq!(stand.get("/there.txt").status, 200);
    stand.origin.file("/small.bin", vec![1; 1000]);
    assert_eq!(stand.get("/small.bin").status, 200);
    stand.stop().expect(0);
}

#[test]
fn other_types_and_what_is_excluded_are_not_fetched() {
    let stand = Stand::new("types = [\"jpg\", \"PNG\"]\nexclude = [\"secret-*\", \"/webform/\"]");
    for path in [
        "/a.jpg",
        "/a.png",
        "/a.pdf",
        "/a",
        "/secret-a.jpg",
        "/webform/a.jpg",
    ] {
        stand.origin.file(path, "x");
    }
    for (path, status) in [
        ("/a.jpg", 200),
        ("/a.png", 200),
        ("/a.pdf", 404),
        ("/a", 404),
        ("/secret-a.jpg", 404),
        ("/webform/a.jpg", 404),
    ] {
        assert_eq!(stand.get(path).status, status, "{path}");
    }
    stand.write("b.pdf", "x");
    stand.write("webform/b.jpg", "x");
    assert_eq!(stand.get("/b.pdf").status, 200);
    assert_eq!(stand.get("/webform/b.jpg").status, 404);
    assert_eq!(stand.origin.asked().len(), 2);
}

#[test]
fn a_throttle_and_a_time_limit_hold() {
    let stand = Stand::new("throttle = \"500kB/s\"");
    stand.origin.file("/a.bin", vec![1; 1_000_000]);
    let begun = Instant::now();
    assert!(stand.get("/a.bin").is_whole_file());
    assert!(
        begun.elapsed() > Duration::from_millis(1500),
        "{:?}",
        begun.elapsed()
    );
    let stand = Stand::new("throttle = \"100kB/s\"\nmax_time = \"1s\"");
    stand.origin.file("/a.bin", vec![1; 5_000_000]);
    let begun = Instant::now();
    assert!(!stand.get("/a.bin").is_whole_file());
    // At that pace all of it takes 50 seconds.
    assert!(begun.elapsed() < Duration::from_secs(40));
    wait_until("nothing is left", || stand.unfinished() == 0);
    assert!(stand.files().is_empty());
}
