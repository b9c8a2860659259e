use super::*;
use crate::config::reporting::Retention;
use crate::state::loaded;

fn token(name: &str, kind: TokenKind) -> Token {
    Token {
        name: name.to_owned(),
        kind,
        scope: Scope::Run,
        to: vec!["staging".to_owned(), "été, 2".to_owned()],
        site: Some("main".to_owned()),
        by: "ada".to_owned(),
        created_at: loaded(stored(Utc::now())),
        expires_at: None,
        last_used_at: None,
    }
}

fn expired(name: &str, kind: TokenKind) -> Token {
    Token {
        expires_at: Some(Utc::now() - Duration::seconds(1)),
        ..token(name, kind)
    }
}

fn count(state: &State) -> i64 {
    let count = state.read("count", |t| {
        t.query_row("SELECT count(*) FROM tokens", [], |row| row.get(0))
    });
    count.unwrap()
}

#[test]
fn a_secret_has_256_bits_that_are_never_the_same() {
    let (one, other) = (secret().unwrap(), secret().unwrap());
    assert_ne!(one, other);
    let digits = one.strip_prefix("envsyncd_").unwrap();
    assert_eq!(digits.len(), 64);
    assert!(digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    // FIPS 180-2, appendix B.1.
    assert_eq!(hash_of("abc")[..4], [0xba, 0x78, 0x16, 0xbf]);
}

#[test]
fn a_scope_may_what_those_before_it_may() {
    assert!(Scope::Read < Scope::Run && Scope::Run < Scope::Admin);
    assert_eq!(Scope::parse("run"), Some(Scope::Run));
    assert_eq!(Scope::parse("Run"), None);
}

#[test]
fn a_token_is_read_back_as_it_was_made_and_its_secret_is_not_kept() {
    let state = State::in_memory().unwrap();
    let text = secret().unwrap();
    let made = token("ci", TokenKind::Token);
    state.add_token(&made, &hash_of(&text)).unwrap();
    assert_eq!(state.token(&hash_of(&text)).unwrap().as_ref(), Some(&made));
    assert_eq!(state.token(&hash_of("other")).unwrap(), None);
    let everywhere = Token {
        to: Vec::new(),
        site: None,
        ..token("all", TokenKind::Token)
    };
    state.add_token(&everywhere, &hash_of("b")).unwrap();
    assert_eq!(state.tokens().unwrap(), [everywhere, made]);
}

#[test]
fn a_name_is_given_once_and_again_after_its_token_has_expired() {
    let state = State::in_memory().unwrap();
    let made = token("ci", TokenKind::Token);
    state.add_token(&made, &[1; 32]).unwrap();
    let error = state.add_token(&made, &[2; 32]).unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    assert!(error.to_string().contains("token revoke ci"), "{error}");
    // Sessions are called like the token that opened them.
    state
        .add_token(&token("ci", TokenKind::Session), &[3; 32])
        .unwrap();
    state
        .add_token(&token("ci", TokenKind::Session), &[4; 32])
        .unwrap();
    state
        .add_token(&expired("old", TokenKind::Token), &[5; 32])
        .unwrap();
    state
        .add_token(&token("old", TokenKind::Token), &[6; 32])
        .unwrap();
    assert!(state.token(&[5; 32]).unwrap().is_none());
}

#[test]
fn what_has_expired_is_nobodys_and_is_pruned() {
    let state = State::in_memory().unwrap();
    for (number, kind) in [TokenKind::Token, TokenKind::Session, TokenKind::Link]
        .into_iter()
        .enumerate()
    {
        state
            .add_token(&expired("x", kind), &[number as u8; 32])
            .unwrap();
        assert_eq!(state.token(&[number as u8; 32]).unwrap(), None, "{kind}");
    }
    assert!(state.tokens().unwrap().is_empty());
    assert!(open(&state, 2, TokenKind::Link, 8).is_none());
    state
        .add_token(&token("y", TokenKind::Token), &[9; 32])
        .unwrap();
    state.prune(&Retention::default(), Utc::now()).unwrap();
    assert_eq!(count(&state), 1);
}

#[test]
fn revoking_a_token_ends_its_sessions_and_no_others() {
    let state = State::in_memory().unwrap();
    for (hash, name, kind) in [
        (1, "ci", TokenKind::Token),
        (2, "ci", TokenKind::Session),
        (3, "ada", TokenKind::Token),
        (4, "ada", TokenKind::Session),
    ] {
        state.add_token(&token(name, kind), &[hash; 32]).unwrap();
    }
    assert!(state.revoke("ci").unwrap());
    assert!(!state.revoke("ci").unwrap());
    let living: Vec<u8> = (1..5)
        .filter(|hash| state.token(&[*hash; 32]).unwrap().is_some())
        .collect();
    assert_eq!(living, [3, 4]);
    state.drop_token(&[4; 32]).unwrap();
    assert!(state.token(&[4; 32]).unwrap().is_none());
}

/// Opens a session with what has a hash; its own is `key`.
fn open(state: &State, opener: u8, kind: TokenKind, key: u8) -> Option<Token> {
    state
        .open_session(&[opener; 32], kind, &[key; 32], Duration::hours(12))
        .unwrap()
}

#[test]
fn a_link_works_once_and_a_token_is_no_link() {
    let state = State::in_memory().unwrap();
    let link = token("ada", TokenKind::Link);
    state.add_token(&link, &[1; 32]).unwrap();
    state
        .add_token(&token("ci", TokenKind::Token), &[2; 32])
        .unwrap();
    let session = open(&state, 1, TokenKind::Link, 11).unwrap();
    assert_eq!(
        (session.name.as_str(), session.kind),
        ("ada", TokenKind::Session)
    );
    assert_eq!((&session.to, &session.site), (&link.to, &link.site));
    assert!(open(&state, 1, TokenKind::Link, 12).is_none());
    assert!(open(&state, 2, TokenKind::Link, 13).is_none());
    assert!(state.token(&[2; 32]).unwrap().is_some());
    assert!(state.token(&[11; 32]).unwrap().is_some());
    assert!(state.token(&[12; 32]).unwrap().is_none());
}

#[test]
fn a_session_lasts_no_longer_than_its_token_and_opens_no_other() {
    let state = State::in_memory().unwrap();
    let ends = loaded(stored(Utc::now() + Duration::hours(1)));
    let short = Token {
        expires_at: Some(ends),
        ..token("ci", TokenKind::Token)
    };
    state.add_token(&short, &[1; 32]).unwrap();
    let session = open(&state, 1, TokenKind::Token, 2).unwrap();
    assert_eq!(session.expires_at, Some(ends));
    assert!(open(&state, 2, TokenKind::Token, 3).is_none());
    let long = token("ada", TokenKind::Token);
    state.add_token(&long, &[4; 32]).unwrap();
    let session = open(&state, 4, TokenKind::Token, 5).unwrap();
    assert!(session.expires_at.unwrap() <= Utc::now() + Duration::hours(12));
}

#[test]
fn a_session_that_is_opened_while_its_token_is_revoked_ends_with_it() {
    let dir = tempfile::TempDir::new().unwrap();
    let state = State::open(dir.path()).unwrap();
    for round in 0..30_u8 {
        let name = format!("ci-{round}");
        let opener = [round; 32];
        state
            .add_token(&token(&name, TokenKind::Token), &opener)
            .unwrap();
        // It was looked at, and found to be good.
        assert!(state.token(&opener).unwrap().is_some());
        let together = std::sync::Barrier::new(2);
        let others = State::open(dir.path()).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                together.wait();
                for key in 0..4 {
                    let _ = others.open_session(
                        &opener,
                        TokenKind::Token,
                        &[100 + 4 * (round % 30) + key; 32],
                        Duration::hours(12),
                    );
                }
            });
            together.wait();
            assert!(state.revoke(&name).unwrap());
        });
        assert_eq!(count(&state), 0, "round {round}");
    }
}

#[test]
fn its_use_is_written_down_once_a_minute() {
    let state = State::in_memory().unwrap();
    state
        .add_token(&token("ci", TokenKind::Token), &[1; 32])
        .unwrap();
    let start = loaded(stored(Utc::now()));
    let used = |seconds: i64| {
        state
            .token_used(&[1; 32], start + Duration::seconds(seconds))
            .unwrap();
        let last = state
            .token(&[1; 32])
            .unwrap()
            .unwrap()
            .last_used_at
            .unwrap();
        (last - start).num_seconds()
    };
    assert_eq!([used(0), used(59), used(60), used(61)], [0, 0, 60, 60]);
    state.token_used(&[9; 32], start).unwrap();
}

#[test]
fn a_row_that_was_tampered_with_lets_nobody_in() {
    let state = State::in_memory().unwrap();
    for column in [
        "environments = '[]'",
        "environments = 'x'",
        "environments = '[\"a\\u0000\"]'",
        "scope = 'root'",
        "expires_at = 'never'",
        "kind = 'x'",
    ] {
        state
            .add_token(&token("ci", TokenKind::Token), &[1; 32])
            .unwrap();
        let sql = format!("UPDATE tokens SET {column}");
        let tampered = state.with(|store| {
            store.execute_batch(&sql).unwrap();
            Ok(())
        });
        tampered.unwrap();
        assert_eq!(state.token(&[1; 32]).unwrap(), None, "{column}");
        assert!(state.tokens().unwrap().is_empty(), "{column}");
        state.drop_token(&[1; 32]).unwrap();
    }
}
