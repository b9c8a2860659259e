//! The text of `envsyncd --help`, with the verbs in groups: clap has headings for options, but none for verbs.

use clap::builder::Styles;

/// Every verb that is not hidden stands in one of these groups.
const GROUPS: [(&str, &[&str]); 5] = [
    (
        "Run",
        &[
            "run",
            "pull",
            "plan",
            "scan",
            "rollback",
            "daemon",
            "file-proxy",
        ],
    ),
    ("Observe", &["status", "history", "show", "logs", "check"]),
    (
        "Control",
        &["trigger", "cancel", "pause", "resume", "hold", "release"],
    ),
    ("Archives", &["snapshots"]),
    (
        "Set-up",
        &[
            "validate",
            "import",
            "links",
            "token",
            "panel",
            "completions",
        ],
    ),
];

/// Clap's template for the help text, with each verb's own short description.
pub(super) fn template(verbs: &clap::Command) -> String {
    let styles = Styles::styled();
    let (header, literal) = (styles.get_header(), styles.get_literal());
    let mut text = String::from("{about-with-newline}\n{usage-heading} {usage}\n");
    for (group, names) in GROUPS {
        // A build without some features has not all of them.
        let mut lines = names.iter().filter_map(|name| {
            let verb = verbs
                .find_subcommand(name)
                .filter(|verb| !verb.is_hide_set())?;
            let about = verb.get_about()?;
            Some(format!("  {literal}{name:<11}{literal:#}  {about}\n"))
        });
        if let Some(first) = lines.next() {
            text.push_str(&format!("\n{header}{group}:{header:#}\n{first}"));
            text.extend(lines);
        }
    }
    text.push_str(&format!(
        "\n{header}Options:{header:#}\n{{options}}{{after-help}}"
    ));
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_verb_that_is_not_hidden_stands_in_one_group_with_its_description() {
        let cli = Cli::command();
        let grouped: Vec<&str> = GROUPS
            .iter()
            .flat_map(|(_, names)| *names)
            .copied()
            .collect();
        let names: BTreeSet<&str> = grouped.iter().copied().collect();
        assert_eq!(names.len(), grouped.len(), "{grouped:?}");
        let shown = cli.get_subcommands().filter(|verb| !verb.is_hide_set());
        let missing: Vec<&str> = shown
            .map(clap::Command::get_name)
            .filter(|name| !names.contains(name))
            .collect();
        assert!(missing.is_empty(), "{missing:?}");

        let help = Cli::command().render_help().to_string();
        for verb in cli.get_subcommands() {
            let about = verb.get_about().expect("a description").to_string();
            let line = format!("  {:<11}  {about}\n", verb.get_name());
            assert_eq!(help.contains(&line), !verb.is_hide_set(), "{line}{help}");
            assert!(verb.is_hide_set() || line.len() <= 100, "{line}");
        }
        for heading in ["Run", "Observe", "Control", "Set-up"] {
            assert!(help.contains(&format!("\n{heading}:\n")), "{help}");
        }
        assert!(
            help.contains("\nOptions:\n") && help.contains("--once"),
            "{help}"
        );
    }

    #[test]
    fn help_texts_are_imperatives() {
        let cli = Cli::command();
        let mut verbs: Vec<&clap::Command> = cli.get_subcommands().collect();
        let mut number = 0;
        while let Some(verb) = verbs.pop() {
            verbs.extend(verb.get_subcommands());
            let about = verb.get_about().expect("a description").to_string();
            let first = about.split(' ').next().unwrap_or_default();
            // "Lists the newest runs" describes; "List the newest runs" is what to type.
            assert!(!first.ends_with('s'), "{about}");
            number += 1;
        }
        assert!(number > 15, "{number}");
    }
}
