//! Definitions of views, routines, triggers and events, made fit for another schema and another definer. Pure.

use super::lexer::{self, Dialect, Shape, Token};
use super::names::quoted;

/// Takes `DEFINER = account` out of a `CREATE` statement: then whoever makes the object is its definer.
pub(in crate::store::mysql) fn without_definer(sql: &str, dialect: Dialect) -> String {
    let tokens = lexer::tokens(sql, dialect);
    let Some((start, end)) = definer(&tokens) else {
        return sql.to_owned();
    };
    // The blank behind it goes with it.
    let end = end
        + usize::from(
            tokens
                .get(end)
                .is_some_and(|token| token.shape == Shape::Blank),
        );
    join(&tokens[..start]) + &join(&tokens[end..])
}

fn join(tokens: &[Token<'_>]) -> String {
    tokens.iter().map(|token| token.text).collect()
}

/// Where the definer stands: from its keyword to behind the account.
fn definer(tokens: &[Token<'_>]) -> Option<(usize, usize)> {
    // In front of what is made: further on, it would be a name.
    let kinds = [
        "VIEW",
        "FUNCTION",
        "PROCEDURE",
        "TRIGGER",
        "EVENT",
        "PACKAGE",
    ];
    let start = tokens
        .iter()
        .take_while(|token| !kinds.iter().any(|kind| token.is(kind)))
        .position(|token| token.is("DEFINER"))?;
    let (sign, _) = lexer::solid(tokens, start + 1).filter(|(_, token)| token.is_mark("="))?;
    let (user, _) = lexer::solid(tokens, sign + 1)?;
    let end = match lexer::solid(tokens, user + 1) {
        Some((at, token)) if token.is_mark("@") => lexer::solid(tokens, at + 1)?.0,
        _ => user,
    };
    Some((start, end + 1))
}

/// Cuts off the code of a routine in another language than SQL: `LANGUAGE JAVASCRIPT ... AS $$ ... $$`.
pub(in crate::store::mysql) fn foreign_body(sql: &str, dialect: Dialect) -> (&str, &str) {
    let tokens = lexer::tokens(sql, dialect);
    let mut place = 0;
    let mut is_foreign = false;
    for (at, token) in tokens.iter().enumerate() {
        place += token.text.len();
        let next = lexer::solid(&tokens, at + 1).map(|(_, next)| next);
        if token.is("BEGIN") {
            break;
        }
        is_foreign |= token.is("LANGUAGE")
            && next.is_some_and(|next| next.shape == Shape::Word && !next.is("SQL"));
        let begins = next.is_some_and(|next| {
            next.text.starts_with('$') || matches!(next.shape, Shape::Text | Shape::Number)
        });
        if is_foreign && token.is("AS") && begins {
            return sql.split_at(place);
        }
    }
    (sql, "")
}

/// The schema that references are moved away from.
#[derive(Debug, Clone, Copy)]
pub(in crate::store::mysql) struct Schema<'a> {
    pub(in crate::store::mysql) name: &'a str,
    /// `lower_case_table_names` is not 0: names of schemas are compared without case.
    pub(in crate::store::mysql) folded: bool,
    /// The schema has a table, view or package of its own name.
    pub(in crate::store::mysql) homonym: bool,
}

impl Schema<'_> {
    fn is(&self, name: &str) -> bool {
        if self.folded {
            name.to_lowercase() == self.name.to_lowercase()
        } else {
            name == self.name
        }
    }
}

/// How many parts a reference that starts with the schema's name has; nothing if the name is no reference's start.
fn parts(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    if lexer::before(tokens, at).is_some_and(|(_, token)| token.is_mark(".")) {
        return None;
    }
    let mut parts = 1;
    let mut at = at;
    while let Some((dot, _)) = lexer::solid(tokens, at + 1).filter(|(_, token)| token.is_mark("."))
    {
        let Some((next, token)) = lexer::solid(tokens, dot + 1) else {
            break;
        };
        // `schema.*` has no second name.
        if token.name().is_none() {
            break;
        }
        parts += 1;
        at = next;
    }
    Some(parts)
}

/// Lets a definition's references to one schema point to another. `Err`: what stands in front of a dot may be the schema
/// or something else of its name, in the words of the definition.
pub(in crate::store::mysql) fn to_schema(
    sql: &str,
    dialect: Dialect,
    from: Schema<'_>,
    to: &str,
) -> Result<String, String> {
    let tokens = lexer::tokens(sql, dialect);
    let names: Vec<usize> = tokens
        .iter()
        .enumerate()
        .filter(|(_, token)| token.name().is_some_and(|name| from.is(&name)))
        .map(|(at, _)| at)
        .collect();
    // A name that stands alone may be an alias or a variable of the schema's name. What follows AS in a view, or a dot
    // anywhere, is a column.
    let is_view = tokens.iter().take(40).any(|token| token.is("VIEW"));
    let other = tokens
        .iter()
        .enumerate()
        .filter(|(_, token)| {
            token
                .name()
                .is_some_and(|name| name.to_lowercase() == from.name.to_lowercase())
        })
        .any(|(at, _)| {
            parts(&tokens, at) == Some(1)
                && !(is_view && lexer::before(&tokens, at).is_some_and(|(_, token)| token.is("AS")))
        });
    let is_row = ["new", "old"]
        .iter()
        .any(|row| from.name.eq_ignore_ascii_case(row));
    let mut made: Vec<String> = tokens.iter().map(|token| token.text.to_owned()).collect();
    for at in names {
        let Some(count @ 2..) = parts(&tokens, at) else {
            continue;
        };
        let calls = lexer::solid(&tokens, at + 1)
            .and_then(|(dot, _)| lexer::solid(&tokens, dot + 1))
            .and_then(|(name, _)| lexer::solid(&tokens, name + 1))
            .is_some_and(|(_, token)| token.is_mark("("));
        let is_sure = count > 2 || (!other && !is_row && (!from.homonym || calls));
        if !is_sure {
            let end = (at + 8).min(tokens.len());
            return Err(join(&tokens[at..end]).trim().to_owned());
        }
        made[at] = if dialect.ansi_quotes {
            format!("\"{}\"", to.replace('"', "\"\""))
        } else {
            quoted(to)
        };
    }
    Ok(made.concat())
}

/// Whether a statement that is put together in strings may name the schema: nobody can rewrite those.
pub(in crate::store::mysql) fn hides_schema(sql: &str, dialect: Dialect, schema: &str) -> bool {
    let tokens = lexer::tokens(sql, dialect);
    let wanted = schema.to_lowercase();
    tokens
        .iter()
        .any(|token| token.is("PREPARE") || token.is("EXECUTE"))
        && tokens.iter().any(|token| {
            let text = token.text.to_lowercase();
            token.shape == Shape::Text
                && (text.contains(&format!("{wanted}.")) || text.contains(&format!("{wanted}`.")))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(sql: &str) -> Result<String, String> {
        let from = Schema {
            name: "app",
            folded: false,
            homonym: false,
        };
        to_schema(sql, Dialect::default(), from, "inc")
    }

    #[test]
    fn definers_of_every_spelling_go_and_nothing_else() {
        for (sql, wanted) in [
            (
                "CREATE ALGORITHM=UNDEFINED DEFINER=`a b`@`%` SQL SECURITY DEFINER VIEW `v` AS select 1",
                "CREATE ALGORITHM=UNDEFINED SQL SECURITY DEFINER VIEW `v` AS select 1",
            ),
            (
                "CREATE DEFINER = 'x'@'localhost' trigger t before insert on definer for each row set @a='DEFINER=b'",
                "CREATE trigger t before insert on definer for each row set @a='DEFINER=b'",
            ),
            (
                "CREATE DEFINER=`role` PROCEDURE `p`() select 1",
                "CREATE PROCEDURE `p`() select 1",
            ),
            (
                "CREATE FUNCTION `f`(definer int) RETURNS int return definer = 1",
                "CREATE FUNCTION `f`(definer int) RETURNS int return definer = 1",
            ),
        ] {
            assert_eq!(without_definer(sql, Dialect::default()), wanted);
        }
        assert_eq!(
            without_definer(
                "CREATE DEFINER=\"root\"@\"localhost\" PACKAGE \"pk\" as end",
                Dialect::of("ANSI_QUOTES")
            ),
            "CREATE PACKAGE \"pk\" as end"
        );
    }

    #[test]
    fn references_to_the_schema_are_rewritten_and_strings_and_comments_are_not() {
        assert_eq!(
            moved("begin select 'app.users', app.users.id /* app.x */ from `app` . `users`, other.app where App.x = 1 -- app.y\n; end"),
            Ok("begin select 'app.users', `inc`.users.id /* app.x */ from `inc` . `users`, other.app where App.x = 1 -- app.y\n; end".to_owned())
        );
    }

    #[test]
    fn code_of_another_language_is_left_alone() {
        let sql = "CREATE FUNCTION `f`(n int) RETURNS int LANGUAGE JAVASCRIPT USING (`app`.`l` AS `x`) AS $$ return app.users(\"it's\") $$";
        let (head, body) = foreign_body(sql, Dialect::default());
        assert_eq!(body, " $$ return app.users(\"it's\") $$");
        assert!(moved(head).expect("no doubt").contains("`inc`.`l`"));
        let sql = "CREATE FUNCTION `f`() RETURNS int LANGUAGE SQL BEGIN SELECT 1 AS '$$'; END";
        assert_eq!(foreign_body(sql, Dialect::default()), (sql, ""));
    }

    #[test]
    fn case_matters_as_it_does_on_the_source() {
        let from = Schema {
            name: "app",
            folded: true,
            homonym: false,
        };
        assert_eq!(
            to_schema("call APP.p()", Dialect::default(), from, "inc"),
            Ok("call `inc`.p()".to_owned())
        );
    }

    #[test]
    fn an_alias_of_the_schemas_name_is_refused_where_it_matters() {
        assert_eq!(
            moved("begin select app.id from users app; end"),
            Err("app.id from users".to_owned())
        );
        assert!(moved("begin select app.users.id from app.users app; end").is_err());
        // Three parts can only be the schema's, and where nothing is qualified nothing is to do.
        assert!(moved("begin declare app int; select app.users.id from users; end").is_ok());
        assert!(moved("begin declare app int; set app = 1; end").is_ok());
    }

    #[test]
    fn a_column_of_the_schemas_name_is_no_doubt() {
        assert_eq!(
            moved("CREATE VIEW `v` AS select `u`.`app` AS `app` from (`app`.`users` `u` join `other`.`o`)"),
            Ok("CREATE VIEW `v` AS select `u`.`app` AS `app` from (`inc`.`users` `u` join `other`.`o`)".to_owned())
        );
    }

    #[test]
    fn a_schema_with_a_table_of_its_name_is_refused_but_for_calls_and_whole_names() {
        let from = Schema {
            name: "app",
            folded: false,
            homonym: true,
        };
        let moved = |sql| to_schema(sql, Dialect::default(), from, "inc");
        assert!(moved("select app.id").is_err());
        assert_eq!(moved("select app.f(1)"), Ok("select `inc`.f(1)".to_owned()));
        assert_eq!(
            moved("select app.app.id"),
            Ok("select `inc`.app.id".to_owned())
        );
    }

    #[test]
    fn statements_in_strings_are_noticed() {
        let hides = |sql| hides_schema(sql, Dialect::default(), "app");
        assert!(hides("begin prepare s from 'select * from App.users'; end"));
        assert!(!hides("begin select 'app.users'; end"));
    }
}
