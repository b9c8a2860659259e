//! The kinds of objects that a dump creates.

use super::statement::Rest;
use crate::store::mysql::sql::lexer::Token;

/// Whether there may be statements inside.
pub(super) fn has_body(solid: &[&Token<'_>]) -> bool {
    solid.first().is_some_and(|first| first.is("CREATE"))
        && Kind::of(&mut Rest::new(&solid[1..]))
            .is_ok_and(|kind| !matches!(kind, Kind::Table | Kind::Sequence | Kind::View))
}

/// The kind of object that a CREATE makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Table,
    Sequence,
    View,
    Procedure,
    Function,
    Package,
    Trigger,
    Event,
}

impl Kind {
    /// Reads from behind CREATE to before the name.
    pub(super) fn of(rest: &mut Rest<'_, '_>) -> Result<Self, String> {
        let refused = || "dumps make nothing of this kind".to_owned();
        loop {
            if rest.words(&["OR", "REPLACE"]) || rest.words(&["AGGREGATE"]) {
                continue;
            }
            if rest.words(&["ALGORITHM"]) {
                rest.mark("=");
                rest.take();
                continue;
            }
            if rest.words(&["SQL", "SECURITY"]) {
                rest.take();
                continue;
            }
            if rest.words(&["DEFINER"]) {
                if rest.account() {
                    continue;
                }
                return Err(refused());
            }
            break;
        }
        let kinds = [
            ("TABLE", Self::Table),
            ("SEQUENCE", Self::Sequence),
            ("VIEW", Self::View),
            ("PROCEDURE", Self::Procedure),
            ("FUNCTION", Self::Function),
            ("PACKAGE", Self::Package),
            ("TRIGGER", Self::Trigger),
            ("EVENT", Self::Event),
        ];
        let found = kinds.into_iter().find(|(word, _)| rest.words(&[word]));
        let (_, kind) = found.ok_or_else(refused)?;
        if kind == Self::Package {
            rest.words(&["BODY"]);
        }
        rest.words(&["IF", "NOT", "EXISTS"]);
        Ok(kind)
    }
}
