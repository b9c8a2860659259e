//! What a dump may make: tables, sequences, views, routines, triggers and events of the staging schema.

use super::{Action, Allowed, Made};
use crate::config::job::Definer;
use crate::store::mysql::dump::kind::Kind;
use crate::store::mysql::dump::statement::{Rest, bytes, moved, readable, telling};
use crate::store::mysql::schema::engines::{self, Engine};
use crate::store::mysql::schema::{create_table, objects};
use crate::store::mysql::sql::lexer::{self, Dialect, Token};
use crate::store::mysql::sql::rewrite::{self, Schema};
use crate::store::{Fate, redact};

impl Allowed<'_> {
    pub(super) fn create(
        &mut self,
        text: &str,
        solid: &[&Token<'_>],
        dialect: Dialect,
    ) -> Result<Action, String> {
        let mut rest = Rest::new(&solid[1..]);
        if rest.words(&["DATABASE"]) || rest.words(&["SCHEMA"]) {
            rest.words(&["IF", "NOT", "EXISTS"]);
            let name = rest.named()?;
            self.is_dumped(&name)?;
            tracing::info!(
                database = readable(&name.name),
                "the dump makes and uses its database by name: it is restored in a schema of the run's own instead"
            );
            return Ok(match self.defaults(&mut rest) {
                Some(defaults) => Action::Run(bytes(&defaults)),
                None => Action::Skip,
            });
        }
        self.begun = true;
        match Kind::of(&mut rest)? {
            Kind::Table => self.table(text, dialect),
            kind => self.object(text, kind, dialect),
        }
    }

    fn table(&mut self, text: &str, dialect: Dialect) -> Result<Action, String> {
        let text = moved(text, dialect, |name| self.is_own(name), &self.staging);
        let text = create_table::without_directories(&lexer::tokens(&text, dialect));
        let tokens = lexer::tokens(&text, dialect);
        let solid = telling(&tokens);
        let mut rest = Rest::new(&solid[1..]);
        Kind::of(&mut rest)?;
        let name = self.inside(&rest.named()?)?;
        let label = readable(&name);
        if rest
            .tokens()
            .first()
            .is_none_or(|token| !token.is_mark("("))
        {
            return Err("it makes a table of another one".to_owned());
        }
        let fate = self.selection.fate(None, &label);
        if !self.is_of_its_own(&solid, &label, fate)? {
            return Ok(Action::Skip);
        }
        self.see(&name, &label)?;
        let key = self.key(&name);
        let replaces = solid.get(1).is_some_and(|token| token.is("OR"));
        if replaces || !self.tables.contains_key(&key) {
            let number = self.made;
            self.made += 1;
            self.tables.insert(key, Made { fate, number });
        }
        Ok(Action::Run(bytes(&text)))
    }

    /// Refuses a table or sequence that takes anything from elsewhere; `false`: it is excluded, and of an engine that is refused.
    fn is_of_its_own(&self, solid: &[&Token<'_>], label: &str, fate: Fate) -> Result<bool, String> {
        for (at, token) in solid.iter().enumerate() {
            let next = solid.get(at + 1);
            // A table that is made in a transaction is one of a query's.
            let is_begun = token.is("START") && next.is_some_and(|next| next.is("TRANSACTION"));
            if token.is("SELECT") || token.is("DIRECTORY") || is_begun {
                return Err(format!("it makes a table with {}", token.text));
            }
            let is_dotted = next.is_some_and(|next| next.is_mark("."))
                && solid
                    .get(at + 2)
                    .is_some_and(|token| token.name().is_some());
            if is_dotted
                && let Some(schema) = token.name()
                && schema != self.staging
                && !(at > 0 && solid[at - 1].is("REFERENCES"))
            {
                return Err(format!(
                    "it takes something from another database, `{}`",
                    readable(&schema)
                ));
            }
            if token.is("ENGINE") {
                let value = next.filter(|next| !next.is_mark("=")).or(solid.get(at + 2));
                let engine = value.map(|value| value.text).unwrap_or_default();
                if let Engine::Refused(why) = engines::of(engine, fate) {
                    if fate == Fate::Exclude {
                        return Ok(false);
                    }
                    return Err(engines::refusal(label, why).to_string());
                }
            }
        }
        Ok(true)
    }

    /// Something that may be called like the database.
    fn see(&mut self, name: &str, label: &str) -> Result<(), String> {
        let own = self.own.as_deref().unwrap_or_default();
        if !readable(name).eq_ignore_ascii_case(&readable(own)) {
            return Ok(());
        }
        self.homonym = true;
        match &self.trusting {
            None => Ok(()),
            Some(object) => Err(format!(
                "the database has something of its own name, `{label}`, and which of the two is meant here is not clear: {object}"
            )),
        }
    }

    /// A sequence, a view, a routine, a trigger or an event.
    fn object(&mut self, text: &str, kind: Kind, dialect: Dialect) -> Result<Action, String> {
        let text = match self.definer {
            Definer::Map => rewrite::without_definer(text, dialect),
            Definer::Keep => text.to_owned(),
        };
        let mut text = self.in_staging(&text, dialect)?;
        if kind == Kind::Event {
            let slept = objects::disabled(&text, dialect);
            let Some(status) = objects::status(&text, dialect) else {
                return Err("an event that says neither ENABLE nor DISABLE".to_owned());
            };
            if status != "DISABLE" {
                let tokens = lexer::tokens(&text, dialect);
                let solid = telling(&tokens);
                let mut rest = Rest::new(&solid[1..]);
                Kind::of(&mut rest)?;
                let name = rest.named()?.name;
                self.awake.insert(name, status);
            }
            text = slept;
        }
        let tokens = lexer::tokens(&text, dialect);
        let solid = telling(&tokens);
        let mut rest = Rest::new(&solid[1..]);
        Kind::of(&mut rest)?;
        let name = self.inside(&rest.named()?)?;
        match kind {
            Kind::Table | Kind::Event | Kind::Procedure => {}
            Kind::Sequence => {
                self.is_of_its_own(&solid, &readable(&name), Fate::Copy)?;
                self.sequences.insert(self.key(&name));
            }
            Kind::Function => {
                if rest
                    .tokens()
                    .first()
                    .is_some_and(|token| token.is("RETURNS"))
                {
                    return Err(
                        "it makes a function from a library, which belongs to the whole server"
                            .to_owned(),
                    );
                }
            }
            Kind::View | Kind::Package => {
                let label = readable(&name);
                self.see(&name, &label)?;
            }
            Kind::Trigger => {
                while rest.tokens().first().is_some_and(|token| !token.is("ON")) {
                    rest.take();
                }
                rest.take();
                let table = self.key(&self.inside(&rest.named()?)?);
                if !self.tables.contains_key(&table) {
                    return Err("a trigger on what this dump has not made".to_owned());
                }
                self.watched.insert(table);
            }
        }
        if kind == Kind::Event && objects::ends(&text, dialect) {
            return Ok(Action::Early(bytes(&text)));
        }
        if kind == Kind::View {
            return Ok(Action::View(bytes(&text)));
        }
        Ok(Action::Run(bytes(&text)))
    }

    /// References to the dumped database point to the staging schema.
    fn in_staging(&mut self, text: &str, dialect: Dialect) -> Result<String, String> {
        let Some(own) = &self.own else {
            return Ok(text.to_owned());
        };
        let from = |homonym| Schema {
            name: own,
            folded: self.folded,
            homonym,
        };
        let doubt = |place: String| {
            format!(
                "in `{}` it is not clear whether `{}` is the database or something else of its name",
                readable(&place),
                readable(own)
            )
        };
        if let Ok(made) = rewrite::to_schema(text, dialect, from(true), &self.staging) {
            return Ok(made);
        }
        if self.homonym {
            let made = rewrite::to_schema(text, dialect, from(true), &self.staging);
            return made.map_err(doubt);
        }
        let made = rewrite::to_schema(text, dialect, from(false), &self.staging).map_err(doubt)?;
        self.trusting = Some(redact::statement(&readable(text), redact::Dialect::Mysql));
        Ok(made)
    }
}
