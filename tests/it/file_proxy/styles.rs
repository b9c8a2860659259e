//! Drupal's image styles, which the site makes once it has the original.

use std::fs;

use super::Stand;
use crate::support::origin::Answer;

#[test]
fn a_missing_image_style_has_its_original_fetched_and_is_left_to_the_site() {
    let stand = Stand::new("original_first = true");
    stand.origin.file("/2024-01/a.jpg", "the original");
    stand
        .origin
        .file("/styles/large/public/2024-01/a.jpg", "production's style");
    let reply = stand.get("/styles/large/public/2024-01/a.jpg?itok=x");
    assert_eq!(
        (reply.status, reply.text().as_str()),
        (404, "the original is here: the site makes the image\n")
    );
    assert_eq!(reply.header("cache-control"), "no-store");
    // It is in its place before the site is asked.
    assert_eq!(
        fs::read(stand.path("2024-01/a.jpg")).unwrap(),
        b"the original"
    );
    assert_eq!(
        stand.get("/styles/small/public/2024-01/a.jpg.webp").status,
        404
    );
    assert_eq!(stand.files(), ["2024-01/a.jpg"]);
    assert_eq!(stand.origin.asked().len(), 1);
    stand.write("styles/large/public/2024-01/a.jpg", "the site's");
    assert_eq!(
        stand.get("/styles/large/public/2024-01/a.jpg").text(),
        "the site's"
    );
}

#[test]
fn a_style_of_no_original_and_one_of_a_private_file_are_not_fetched() {
    let stand = Stand::new("original_first = true");
    stand.origin.file("/private/a.jpg", "x");
    stand.origin.file("/styles/large/public/none.jpg", "x");
    for path in [
        "/styles/large/public/none.jpg",
        "/styles/large/public/none.jpg",
        "/styles/large/public/private/a.jpg",
    ] {
        assert_eq!(stand.get(path).status, 404, "{path}");
    }
    assert_eq!(
        (stand.origin.asked().len(), stand.origin.times("/none.jpg")),
        (1, 1)
    );
    stand.origin.put("/busy.jpg", Answer::new(503, ""));
    assert_eq!(stand.get("/styles/large/public/busy.jpg").status, 503);
    assert!(stand.files().is_empty());
}

#[test]
fn without_original_first_a_style_is_a_file_like_others() {
    let stand = Stand::new("");
    stand
        .origin
        .file("/styles/large/public/a.jpg", "production's style");
    assert_eq!(
        stand.get("/styles/large/public/a.jpg").text(),
        "production's style"
    );
    assert_eq!(stand.origin.asked().len(), 1);
}
