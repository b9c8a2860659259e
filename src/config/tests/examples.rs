//! The examples that come with the package.

use super::*;

#[test]
fn every_example_is_valid_and_warns_of_nothing() {
    let (settings, warnings) = load_settings(
        Some(&repository().join("docs/envsyncd.toml")),
        std::iter::empty(),
        stores(),
    )
    .unwrap_or_else(|all| panic!("{all}"));
    // They have every receiver.
    if cfg!(feature = "icinga") {
        assert_eq!(warnings, []);
    }
    let settings = Settings {
        job_dir: repository().join("config.d"),
        ..settings
    };
    let files = job_files(&settings).unwrap();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let (job, warnings) = load_job(&file, &settings).unwrap_or_else(|all| panic!("{all}"));
        assert_eq!(warnings, [], "{}", job.name);
        crate::policy::permit(&job.environments, &job.from, &job.to).unwrap();
    }
}

#[test]
fn the_self_contained_job_needs_no_settings() {
    let nothing = Files::new();
    let (settings, _) = nothing.settings("").unwrap();
    let file = repository().join("config.d/self-contained.toml");
    load_job(&file, &settings).unwrap_or_else(|all| panic!("{all}"));
}

proptest::proptest! {
    /// Half-typed files are reported, whatever is left of them.
    #[test]
    fn no_damage_to_a_file_makes_a_panic(at in 0usize..2000, length in 0usize..40, put in "\\PC{0,3}|[\"'\\[\\]={}.#\n\\\\é]{0,4}") {
        let example = fs::read_to_string(repository().join("config.d/postgresql-anonymise.toml")).unwrap();
        let mut letters: Vec<char> = example.chars().collect();
        let start = at.min(letters.len());
        let end = (start + length).min(letters.len());
        letters.splice(start..end, put.chars());
        let text: String = letters.into_iter().collect();
        let files = Files::new();
        if let Err(all) = files.job(ENVIRONMENTS, &text) {
            proptest::prop_assert!(all.errors() > 0);
            proptest::prop_assert!(!all.to_string().is_empty());
        }
    }
}
