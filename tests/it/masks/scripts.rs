//! Jobs that replace scripts which anonymise after the copy: each against what the script makes of the same database.

use super::stores::Store;

/// A store with production's rows, and what the script makes of them.
struct Script {
    store: Store,
    scripted: Store,
}

impl Script {
    fn new(kind: &'static str, tables: &str, script: &str) -> Self {
        Self {
            store: Store::new(kind, tables, ""),
            // The script's own work: on a copy of production.
            scripted: Store::new(kind, &format!("{tables}\n{script}"), ""),
        }
    }

    /// Runs the job, and holds what it made against what the script did.
    fn compare(&self, task: &str, queries: &[&str]) {
        self.store.with(&["--once"], task).expect(0);
        for query in queries {
            assert_eq!(
                self.store.live(query),
                self.scripted.source(query),
                "{query}"
            );
        }
    }
}

#[test]
fn users_become_their_numbers_and_secrets_stars() {
    let tables = "CREATE TABLE users (id int PRIMARY KEY, name varchar(60), email varchar(60), apikey varchar(60), password varchar(60), state varchar(20));
        INSERT INTO users VALUES (1, 'Planted One', 'planted1@corp.example', 'planted-key-1', 'planted', 'active'), (2, 'Zo\u{eb} Planted', 'planted2@corp.example', NULL, 'planted', 'deleted'), (3, '', NULL, 'k', NULL, NULL);"
        .replace("\\u{eb}", "\u{eb}");
    let script = "UPDATE users SET email = 'user_' || id, name = repeat('*', length(name)), apikey = repeat('*', length(apikey)), password = NULL, state = 'active';";
    let job = r#"
        [[task.mask]]
        table = "users"
        columns = { email = { kind = "template", template = "user_{id}" }, name = "stars", apikey = "stars", password = "null", state = { kind = "fixed", value = "active" } }
    "#;
    Script::new("postgresql", &tables, script).compare(
        job,
        &["SELECT id || '|' || email || '|' || name || '|' || coalesce(apikey, '-') || '|' || coalesce(password, '-') || '|' || state FROM users ORDER BY id"],
    );
}

#[test]
fn values_by_the_key_beside_them() {
    let tables = "CREATE TABLE user_extras (id int PRIMARY KEY, user_id int, k varchar(40), v varchar(90));
        INSERT INTO user_extras VALUES (1, 7, 'api_token', 'planted-token'), (2, 7, 'theme', 'dark'), (3, 8, 'recovery_email', 'planted@corp.example'), (4, 8, NULL, 'nothing'), (5, 9, 'api_token', NULL);";
    let script = "UPDATE user_extras SET v = 'removed' WHERE k IN ('api_token') AND v IS NOT NULL; UPDATE user_extras SET v = concat('user', user_id, '@example.com') WHERE k LIKE '%email';";
    let job = r#"
        [[task.mask]]
        table = "user_extras"
        where = "k IN ('api_token') AND v IS NOT NULL"
        columns = { v = { kind = "fixed", value = "removed" } }
        [[task.mask]]
        table = "user_extras"
        where = "k LIKE '%email'"
        columns = { v = { kind = "template", template = "user{user_id}@example.com" } }
    "#;
    for kind in ["postgresql", "mysql"] {
        Script::new(kind, tables, script).compare(
            job,
            &["SELECT concat(id, '|', coalesce(k, '-'), '|', coalesce(v, '-')) FROM user_extras ORDER BY id"],
        );
    }
}

#[test]
fn an_address_is_the_same_stand_in_everywhere_and_old_mail_stays() {
    let tables = "CREATE TABLE subscribers (id int PRIMARY KEY, address varchar(90) UNIQUE);
        INSERT INTO subscribers SELECT g, 'planted' || g || '@corp.example' FROM generate_series(1, 40) AS g;
        CREATE TABLE emails (id int PRIMARY KEY, address varchar(90), subject varchar(200), body text, created_at timestamptz);
        INSERT INTO emails SELECT g, 'planted' || g || '@corp.example', 'For planted' || g || '@corp.example', 'Dear planted' || g || '@corp.example, hello.', now() - g * interval '1 hour' FROM generate_series(1, 40) AS g;
        INSERT INTO emails VALUES (41, NULL, 'to nobody', 'x', now());";
    // What the script does with a table of stand-ins.
    let script = "CREATE TABLE stand_ins AS SELECT address, 'anonymous-' || row_number() OVER (ORDER BY id) || '@example.com' AS stand_in FROM subscribers;
        UPDATE emails e SET subject = replace(subject, s.address, s.stand_in), body = replace(body, s.address, s.stand_in), address = s.stand_in FROM stand_ins s WHERE s.address = e.address;
        UPDATE subscribers u SET address = s.stand_in FROM stand_ins s WHERE s.address = u.address; DROP TABLE stand_ins;
        DELETE FROM emails WHERE created_at <= now() - interval '1 day';";
    let job = r#"
        [[task.mask]]
        table = "subscribers"
        columns = { address = "email" }
        [[task.mask]]
        table = "emails"
        columns = { address = "email", subject = { kind = "redact", of = ["address"] }, body = { kind = "redact", of = ["address"] } }
        [[task.rows]]
        table = "emails"
        where = "created_at > now() - interval '1 day'"
    "#;
    // The stand-ins are others; what is the same is who is whose, and where they stand.
    Script::new("postgresql", tables, script).compare(
        job,
        &[
            "SELECT id FROM emails ORDER BY id",
            "SELECT count(DISTINCT address) FROM subscribers",
            "SELECT e.id || '|' || s.id FROM emails e JOIN subscribers s USING (address) ORDER BY e.id",
            "SELECT id || '|' || replace(replace(subject || body, address, 'ADDRESS'), 'planted', 'RAW') FROM emails ORDER BY id",
            "SELECT count(*) FROM emails WHERE address LIKE '%@example.com'",
        ],
    );
}

/// Documents, editions that not everybody may see, events with payloads, and what refers to them.
const PUBLISHING: &str = "
    CREATE TABLE documents (id int PRIMARY KEY, content_id varchar(36));
    INSERT INTO documents SELECT g, 'content-' || g FROM generate_series(1, 6) AS g;
    CREATE TABLE editions (id int PRIMARY KEY, document_id int REFERENCES documents, title varchar(60));
    INSERT INTO editions SELECT g, g % 6 + 1, 'title ' || g FROM generate_series(1, 18) AS g;
    CREATE TABLE access_limits (id int PRIMARY KEY, edition_id int REFERENCES editions, users text);
    INSERT INTO access_limits VALUES (1, 3, 'planted'), (2, 10, 'planted'), (3, NULL, 'nobody');
    CREATE TABLE links (id int PRIMARY KEY, edition_id int REFERENCES editions, target varchar(20));
    INSERT INTO links SELECT g, g % 18 + 1, 't' || g FROM generate_series(1, 40) AS g;
    CREATE TABLE unpublishings (id int PRIMARY KEY, edition_id int REFERENCES editions, reason varchar(40));
    INSERT INTO unpublishings VALUES (1, 3, 'planted'), (2, 4, 'gone');
    CREATE TABLE events (id int PRIMARY KEY, content_id varchar(36), payload text, created_at timestamptz);
    INSERT INTO events SELECT g, 'content-' || (g % 8), 'payload planted ' || g, now() - g * interval '1 day' FROM generate_series(1, 60) AS g;";

#[test]
fn payloads_of_limited_documents_are_null_and_limited_editions_are_left_out_with_all_that_refers_to_them()
 {
    let script = "DELETE FROM events WHERE created_at < now() - interval '1 month';
        UPDATE events SET payload = NULL WHERE content_id IN (SELECT d.content_id FROM documents d JOIN editions e ON e.document_id = d.id JOIN access_limits a ON a.edition_id = e.id);
        DELETE FROM links WHERE edition_id IN (SELECT edition_id FROM access_limits); DELETE FROM unpublishings WHERE edition_id IN (SELECT edition_id FROM access_limits);
        CREATE TEMP TABLE limited AS SELECT edition_id FROM access_limits WHERE edition_id IS NOT NULL; DELETE FROM access_limits WHERE edition_id IS NOT NULL;
        DELETE FROM editions WHERE id IN (SELECT edition_id FROM limited);";
    let job = r#"
        [[task.rows]]
        table = "events"
        where = "created_at >= now() - interval '1 month'"
        [[task.mask]]
        table = "events"
        where = """content_id IN (SELECT d.content_id FROM public.documents d
            JOIN public.editions e ON e.document_id = d.id JOIN public.access_limits a ON a.edition_id = e.id)"""
        columns = { payload = "null" }
        [[task.rows]]
        table = "editions"
        where = "id NOT IN (SELECT edition_id FROM public.access_limits WHERE edition_id IS NOT NULL)"
        cascade = true
    "#;
    Script::new("postgresql", PUBLISHING, script).compare(
        job,
        &[
            "SELECT id || '|' || coalesce(payload, '-') FROM events ORDER BY id",
            "SELECT id FROM editions ORDER BY id",
            "SELECT id FROM links ORDER BY id",
            "SELECT id FROM unpublishings ORDER BY id",
            "SELECT id FROM access_limits ORDER BY id",
            "SELECT id FROM documents ORDER BY id",
        ],
    );
}

#[test]
fn titles_and_bodies_of_limited_editions_become_lorem_ipsum() {
    let tables = "CREATE TABLE editions (id int PRIMARY KEY, access_limited bool, slug varchar(60));
        INSERT INTO editions VALUES (1, false, 'open-slug'), (2, true, 'planted-slug');
        CREATE TABLE edition_translations (id int PRIMARY KEY, edition_id int, title varchar(60), body text);
        INSERT INTO edition_translations VALUES (1, 1, 'Open title', 'Open body'), (2, 2, 'Planted title', 'Planted body of some words. And more.'), (3, 2, NULL, '');
        CREATE TABLE attachments (id int PRIMARY KEY, edition_id int, filename varchar(60));
        INSERT INTO attachments VALUES (1, 1, 'open.pdf'), (2, 2, 'planted.pdf');";
    let script = "UPDATE editions SET slug = concat('limited-', id) WHERE access_limited;
        UPDATE attachments SET filename = 'redacted.pdf' WHERE edition_id IN (SELECT id FROM editions WHERE access_limited);
        UPDATE edition_translations SET title = 'LOREM', body = 'LOREM' WHERE edition_id IN (SELECT id FROM editions WHERE access_limited) AND title IS NOT NULL;";
    let job = r#"
        [[task.mask]]
        table = "editions"
        where = "access_limited"
        columns = { slug = { kind = "template", template = "limited-{id}" } }
        [[task.mask]]
        table = "edition_translations"
        where = "edition_id IN (SELECT id FROM editions WHERE access_limited)"
        columns = { title = "text", body = "text" }
        [[task.mask]]
        table = "attachments"
        where = "edition_id IN (SELECT id FROM editions WHERE access_limited)"
        columns = { filename = { kind = "fixed", value = "redacted.pdf" } }
    "#;
    let script = Script::new("mysql", tables, script);
    script.compare(
        job,
        &[
            "SELECT slug FROM editions ORDER BY id",
            "SELECT filename FROM attachments ORDER BY id",
            "SELECT concat(title, body) FROM edition_translations WHERE edition_id = 1",
        ],
    );
    let live = &script.store;
    assert_eq!(live.live("SELECT count(*) FROM edition_translations WHERE title LIKE '%lanted%' OR body LIKE '%lanted%'"), "0");
    // As long as they were, which the script does not care for.
    assert_eq!(
        live.live("SELECT concat(coalesce(length(title), '-'), ',', length(body)) FROM edition_translations ORDER BY id"),
        live.source("SELECT concat(coalesce(length(title), '-'), ',', length(body)) FROM edition_translations ORDER BY id")
    );
}

#[test]
fn a_counter_is_zero_everywhere() {
    let tables =
        "CREATE TABLE users (id int PRIMARY KEY, failed_attempt_count int, name varchar(20));
        INSERT INTO users VALUES (1, 3, 'a'), (2, 0, 'b'), (3, NULL, 'c');";
    let script = "UPDATE users SET failed_attempt_count = 0;";
    let job = "[[task.mask]]\ntable = \"users\"\ncolumns = { failed_attempt_count = { kind = \"fixed\", value = 0 } }";
    for kind in ["postgresql", "mysql", "sqlite"] {
        Script::new(kind, tables, script).compare(
            job,
            &[
                "SELECT failed_attempt_count FROM users ORDER BY id",
                "SELECT name FROM users ORDER BY id",
            ],
        );
    }
}
