//! Every page, made from samples.

use super::look;

mod forms;
mod pages;
mod samples;

use samples::Names;

#[test]
fn every_page_has_its_landmarks_its_style_and_one_heading() {
    for (name, page) in pages::all(&Names::plain()) {
        for piece in [
            "<!doctype html>",
            "<html lang=en>",
            "<header>",
            "<main id=main",
            "<footer>",
            "</html>",
        ] {
            assert_eq!(page.matches(piece).count(), 1, "{name}: {piece}");
        }
        assert_eq!(page.matches("<h1").count(), 1, "{name}");
        assert!(
            page.contains(&format!("<style>{}</style>", look::STYLE)),
            "{name}"
        );
        assert!(page.contains(look::SCRIPT_PATH.as_str()), "{name}");
    }
}

#[test]
fn a_hostile_name_is_text_wherever_it_is_shown() {
    for (name, page) in pages::all(&Names::hostile()) {
        assert!(!page.contains("<script>"), "{name}");
        assert!(!page.contains("</script>\"'"), "{name}");
        assert!(
            page.contains("&#60;script&#62;alert(1)&#60;/script&#62;&#34;&#39;&#38;"),
            "{name}"
        );
        assert!(
            page.contains("%3Cscript%3E") || !page.contains("alert(1)%"),
            "{name}"
        );
    }
}

/// The policy forbids them, and a browser would leave them out without a word.
#[test]
fn no_page_has_styles_or_scripts_in_its_attributes() {
    for names in [Names::plain(), Names::long(), Names::hostile()] {
        for (name, page) in pages::all(&names) {
            let page = page.replace(look::STYLE, "");
            for tag in tags(&page) {
                let bare = without_values(tag);
                assert!(!bare.contains(" style="), "{name}: {tag}");
                assert!(!bare.contains(" on"), "{name}: {tag}");
                assert!(!tag.contains("javascript:"), "{name}: {tag}");
            }
        }
    }
}

/// Only forms that change something are posted, and each of them has the session's own word in it.
#[test]
fn every_form_that_is_posted_proves_where_it_is_from() {
    for (name, page) in pages::all(&Names::plain()) {
        for form in page.split("<form").skip(1) {
            let form = &form[..form.find("</form>").unwrap()];
            let has = form.contains(
                "<input type=hidden name=csrf value=\"0123456789abcdef0123456789abcdef\">",
            );
            // Nobody has a session before; where that form is from, the browser says.
            let is_login = form.contains("action=\"/login\"");
            assert_eq!(
                form.contains("method=post") && !is_login,
                has,
                "{name}: {form}"
            );
        }
    }
}

#[test]
fn a_page_stays_small_with_three_hundred_jobs_and_long_names() {
    for names in [Names::plain(), Names::long(), Names::hostile()] {
        for (name, page) in pages::all(&names) {
            assert!(page.len() < 100_000, "{name}: {}", page.len());
        }
    }
}

#[test]
fn the_policy_lets_in_the_style_and_the_script_alone() {
    assert!(
        look::POLICY.starts_with("default-src 'none'; style-src 'sha256-"),
        "{}",
        *look::POLICY
    );
    assert!(!look::POLICY.contains("unsafe"));
}

/// From `<` to `>`: values are escaped, so that neither is within one.
fn tags(page: &str) -> impl Iterator<Item = &str> {
    page.split('<')
        .skip(1)
        .filter_map(|rest| Some(&rest[..rest.find('>')?]))
}

fn without_values(tag: &str) -> String {
    tag.split('"').step_by(2).collect::<Vec<_>>().join("=")
}
