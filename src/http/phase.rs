//! How far a task is, in the words that people know it by. Pure.

/// A part of a task's way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Phase {
    words: &'static str,
    /// Of what has no measure: `None`.
    percent: Option<u8>,
}

impl Phase {
    /// What a task of this kind has been through and is in, the newest last.
    pub(super) fn all(kind: &str, has_succeeded: bool, percent: u8) -> Vec<Self> {
        let of = |words, percent: u8| Self {
            words,
            percent: Some(percent.min(100)),
        };
        let (mut all, done) = match kind {
            "search" => (
                vec![
                    of("Creating Snapshot Progress", percent.saturating_mul(2)),
                    of(
                        "Restoring Snapshot Progress",
                        percent.saturating_sub(50).saturating_mul(2),
                    ),
                ],
                "Indexed Data Synced Successfully.",
            ),
            "files" => (
                vec![of("Files copy progress", percent)],
                "Files synced successfully.",
            ),
            _ => (
                vec![of("Database data clone progress", percent)],
                "Replication completed successfully.",
            ),
        };
        if kind == "search" && percent <= 50 {
            all.truncate(1);
        }
        if has_succeeded {
            all.push(Self {
                words: done,
                percent: None,
            });
        }
        all
    }
}

/// `Database data clone progress: 63 %`.
impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.percent {
            Some(percent) => write!(f, "{}: {percent} %", self.words),
            None => f.write_str(self.words),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_told_in_the_words_that_people_know() {
        let told = |kind, done, percent| {
            let all: Vec<String> = Phase::all(kind, done, percent)
                .iter()
                .map(ToString::to_string)
                .collect();
            all.join(" | ")
        };
        assert_eq!(
            told("postgresql", false, 63),
            "Database data clone progress: 63 %"
        );
        assert_eq!(
            told("mysql", true, 100),
            "Database data clone progress: 100 % | Replication completed successfully."
        );
        assert_eq!(
            told("search", false, 26),
            "Creating Snapshot Progress: 52 %"
        );
        assert_eq!(
            told("search", true, 100),
            "Creating Snapshot Progress: 100 % | Restoring Snapshot Progress: 100 % | Indexed Data Synced Successfully."
        );
    }
}
