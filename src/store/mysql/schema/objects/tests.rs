use super::*;

fn object(kind: ObjectKind, name: &str, definition: &str) -> Object {
    Object {
        kind,
        name: name.to_owned(),
        table: None,
        definition: definition.to_owned(),
        sql_mode: String::new(),
        charset_client: "latin1".to_owned(),
        collation_connection: "latin1_swedish_ci".to_owned(),
        database_collation: None,
        definer: "a@b".to_owned(),
        enabled: true,
        order: 0,
        time_zone: None,
        broken: false,
        folded: false,
        homonym: false,
    }
}

fn ordered(mut objects: Vec<Object>) -> Vec<String> {
    in_order(&mut objects);
    objects.into_iter().map(|object| object.name).collect()
}

#[test]
fn views_come_after_functions_and_after_views_that_they_are_on() {
    let view = |name, of: &str| {
        object(
            ObjectKind::View,
            name,
            &format!("CREATE VIEW `{name}` AS select `x`.`a` AS `c` from `{of}` `x`"),
        )
    };
    assert_eq!(
        ordered(vec![
            object(ObjectKind::Event, "e", ""),
            view("a", "b"),
            view("b", "c"),
            view("c", "t"),
            object(ObjectKind::Function, "f", ""),
        ]),
        ["f", "c", "b", "a", "e"]
    );
    // A circle, which only a column's name can make, loses nothing.
    assert_eq!(ordered(vec![view("a", "b"), view("b", "a")]).len(), 2);
}

#[test]
fn triggers_of_a_table_are_made_in_the_order_in_which_they_fire() {
    let trigger = |name, order| Object {
        table: Some("t".to_owned()),
        order,
        ..object(ObjectKind::Trigger, name, "")
    };
    assert_eq!(ordered(vec![trigger("a", 2), trigger("b", 1)]), ["b", "a"]);
}

#[test]
fn an_events_status_is_replaced_and_its_body_is_not() {
    for status in ["ENABLE", "DISABLE ON SLAVE", "DISABLE"] {
        assert_eq!(
            disabled(
                &format!(
                    "CREATE EVENT `enable` ON SCHEDULE EVERY 1 DAY ON COMPLETION NOT PRESERVE {status} COMMENT 'ENABLE' DO alter event x enable"
                ),
                Dialect::default()
            ),
            "CREATE EVENT `enable` ON SCHEDULE EVERY 1 DAY ON COMPLETION NOT PRESERVE DISABLE COMMENT 'ENABLE' DO alter event x enable"
        );
    }
}

#[test]
fn a_statement_with_letters_beyond_ascii_is_sent_in_unicode() {
    assert_eq!(object(ObjectKind::View, "v", "x").client(), "latin1");
    assert_eq!(object(ObjectKind::View, "v", "é").client(), "utf8mb4");
}

#[test]
fn definers_are_kept_or_left_to_whoever_makes_it() {
    let view = object(
        ObjectKind::View,
        "v",
        "CREATE DEFINER=`a`@`b` SQL SECURITY INVOKER VIEW `v` AS select 1",
    );
    let text = |definer| {
        let making = Creation {
            from: "app",
            to: "inc",
            definer,
            events: Events::Disabled,
        };
        view.statements(&making).expect("statements")[1].clone()
    };
    assert_eq!(text(Definer::Keep), view.definition);
    assert_eq!(
        text(Definer::Map),
        "CREATE SQL SECURITY INVOKER VIEW `v` AS select 1"
    );
}
