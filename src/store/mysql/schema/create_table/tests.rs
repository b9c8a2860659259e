use proptest::prelude::*;

use super::*;

fn apart(create: &str) -> Apart {
    Create::parse(create).expect("a definition").apart()
}

const USERS: &str = "CREATE TABLE `users` (
  `id` bigint(20) unsigned NOT NULL AUTO_INCREMENT,
  `email` varchar(200) CHARACTER SET utf8mb4 NOT NULL COMMENT 'it''s, `x` (y)',
  `n` int(11) DEFAULT 5 CHECK (`n` > 0),
  PRIMARY KEY (`id`),
  UNIQUE KEY `e` (`email`),
  KEY `pre` (`email`(10) DESC) COMMENT 'a, b',
  CONSTRAINT `fk` FOREIGN KEY (`n`) REFERENCES `other`.`o` (`id`) ON DELETE CASCADE,
  CONSTRAINT `ck` CHECK (`n` < 100 and `email` <> 'a,b)')
) ENGINE=InnoDB AUTO_INCREMENT=77 DEFAULT CHARSET=latin1 COMMENT='AUTO_INCREMENT=9'";

#[test]
fn a_table_without_its_indexes_and_foreign_keys_keeps_all_else() {
    let made = Create::parse(USERS).expect("a definition");
    assert_eq!(
        made.apart(),
        Apart {
            bare: "CREATE TABLE `users` (
  `id` bigint(20) unsigned NOT NULL AUTO_INCREMENT,
  `email` varchar(200) CHARACTER SET utf8mb4 NOT NULL COMMENT 'it''s, `x` (y)',
  `n` int(11) DEFAULT 5 CHECK (`n` > 0),
  PRIMARY KEY (`id`),
  CONSTRAINT `ck` CHECK (`n` < 100 and `email` <> 'a,b)')
) ENGINE=InnoDB AUTO_INCREMENT=77 DEFAULT CHARSET=latin1 COMMENT='AUTO_INCREMENT=9'"
                .to_owned(),
            indexes: vec![vec![
                "ADD UNIQUE KEY `e` (`email`)".to_owned(),
                "ADD KEY `pre` (`email`(10) DESC) COMMENT 'a, b'".to_owned(),
            ]],
        }
    );
    let (reference, text) = made.foreign_keys().next().expect("one");
    assert_eq!(reference.schema.as_deref(), Some("other"));
    assert_eq!((&*reference.table, &*reference.name), ("o", "fk"));
    assert!(text.ends_with("ON DELETE CASCADE"));
    assert_eq!(made.auto_increment(), Some(77));
    assert!(made.counts());
    assert_eq!(made.split_key().as_deref(), Some("id"));
    let without = made.without_counter();
    assert_eq!(
        &*without.tail,
        "ENGINE=InnoDB DEFAULT CHARSET=latin1 COMMENT='AUTO_INCREMENT=9'"
    );
    assert_eq!(without.auto_increment(), None);
}

#[test]
fn keys_that_a_counter_needs_stay_with_those_in_front_of_them() {
    let made = apart(
        "CREATE TABLE `a` (
  `x` int(11),
  `y` int(11) NOT NULL AUTO_INCREMENT,
  UNIQUE KEY `u` (`x`),
  KEY `first` (`x`),
  KEY `yy` (`y`,`x`),
  KEY `last` (`x`)
) ENGINE=InnoDB",
    );
    assert!(made.bare.contains("KEY `first`") && made.bare.contains("KEY `yy`"));
    assert_eq!(
        made.indexes,
        vec![vec!["ADD UNIQUE KEY `u` (`x`)", "ADD KEY `last` (`x`)"]]
    );
}

#[test]
fn what_stands_for_the_primary_key_stays() {
    let made = apart(
        "CREATE TABLE `a` (\n  `x` int(11) NOT NULL,\n  `y` int(11) DEFAULT NULL,\n  UNIQUE KEY `u` (`x`),\n  UNIQUE KEY `v` (`y`),\n  KEY `k` (`y`)\n) ENGINE=InnoDB",
    );
    assert!(made.bare.contains("UNIQUE KEY `u`"));
    assert_eq!(made.indexes[0].len(), 2);
}

#[test]
fn full_text_indexes_come_one_at_a_time() {
    let made = apart(
        "CREATE TABLE `a` (\n  `x` text,\n  KEY `k` (`x`(3)),\n  SPATIAL KEY `s` (`g`),\n  FULLTEXT KEY `f` (`x`),\n  FULLTEXT KEY `g` (`x`) /*!50100 WITH PARSER `ngram` */ \n) ENGINE=InnoDB",
    );
    assert_eq!(made.indexes.len(), 2);
    assert_eq!(made.indexes[0].len(), 3);
    assert_eq!(
        made.indexes[1],
        vec!["ADD FULLTEXT KEY `g` (`x`) /*!50100 WITH PARSER `ngram` */"]
    );
}

#[test]
fn keys_that_copy_the_table_stay() {
    let made = apart(
        "CREATE TABLE `a` (\n  `id` int NOT NULL,\n  `t` text,\n  PERIOD FOR `p` (`s`, `e`),\n  PRIMARY KEY (`id`),\n  UNIQUE KEY `o` (`id`,`p` WITHOUT OVERLAPS),\n  UNIQUE KEY `t` (`t`) USING HASH,\n  KEY `k` (`id`)\n) ENGINE=InnoDB",
    );
    assert!(made.bare.contains("WITHOUT OVERLAPS") && made.bare.contains("USING HASH"));
    assert!(made.bare.contains("PERIOD FOR"));
    assert_eq!(made.indexes, vec![vec!["ADD KEY `k` (`id`)"]]);
}

#[test]
fn partitions_are_no_clauses() {
    let text = "CREATE TABLE `part` (\n  `id` int(11) NOT NULL,\n  KEY `dd` (`d`)\n) ENGINE=InnoDB AUTO_INCREMENT=5 DEFAULT CHARSET=latin1\n PARTITION BY RANGE (to_days(`d`))\n(PARTITION `p0` VALUES LESS THAN (737790) ENGINE = InnoDB)";
    let made = Create::parse(text).expect("a definition");
    assert_eq!(made.clauses.len(), 2);
    assert!(made.tail.ends_with("ENGINE = InnoDB)"));
    assert_eq!(made.text(|_, _| true), text);
    assert_eq!(made.auto_increment(), Some(5));
}

#[test]
fn what_is_no_definition_is_an_error() {
    assert!(Create::parse("CREATE TABLE `a`").is_err());
    assert!(Create::parse("CREATE TABLE `a` (`x` int").is_err());
}

#[test]
fn where_files_are_is_left_to_the_server() {
    let made = Create::parse("CREATE TABLE `a` (\n  `id` int\n) ENGINE=InnoDB DATA DIRECTORY='/mnt/x/' COMMENT='DATA DIRECTORY=''/y'''\n PARTITION BY HASH (`id`)\n(PARTITION `p` DATA DIRECTORY = '/z' ENGINE = InnoDB)").expect("a definition");
    assert_eq!(
        &*made.tail,
        "ENGINE=InnoDB COMMENT='DATA DIRECTORY=''/y'''\n PARTITION BY HASH (`id`)\n(PARTITION `p` ENGINE = InnoDB)"
    );
}

#[test]
fn defaults_from_sequences_move_with_their_schema() {
    let made = Create::parse("CREATE TABLE `a` (\n  `app` int(11) NOT NULL DEFAULT nextval(`app`.`s`) COMMENT '(`app`.`s`)',\n  KEY `k` (`app`)\n) ENGINE=InnoDB").expect("a definition");
    assert_eq!(
        made.with_sequences_in("app", "inc").clauses[0].1,
        "`app` int(11) NOT NULL DEFAULT nextval(`inc`.`s`) COMMENT '(`app`.`s`)'"
    );
}

proptest! {
    #[test]
    fn every_clause_is_in_one_place_whatever_names_and_comments_hold(
        names in proptest::collection::vec("[a-z`'\",()é -]{1,12}", 1..6),
        comment in "[a-z`\",();=é -]{0,20}",
    ) {
        let mut lines: Vec<String> = names.iter().enumerate()
            .map(|(at, name)| format!("{} int(11) NOT NULL COMMENT '{comment}'", quoted(&format!("{name}{at}"))))
            .collect();
        lines.push(format!("PRIMARY KEY ({})", quoted(&format!("{}0", names[0]))));
        for (at, name) in names.iter().enumerate() {
            lines.push(format!("KEY {} ({}) COMMENT '{comment}'", quoted(&format!("k{name}")), quoted(&format!("{name}{at}"))));
            lines.push(format!("CONSTRAINT {} FOREIGN KEY (`a`) REFERENCES {} (`b`)", quoted(&format!("f{name}")), quoted(name)));
        }
        let text = format!("CREATE TABLE {} (\n  {}\n) ENGINE=InnoDB COMMENT='{comment}'", quoted(&names[0]), lines.join(",\n  "));
        let made = Create::parse(&text).unwrap();
        prop_assert_eq!(made.text(|_, _| true), text);
        let keys: usize = made.apart().indexes.iter().map(Vec::len).sum();
        prop_assert_eq!(keys, names.len());
        let references: Vec<String> = made.foreign_keys().map(|(reference, _)| reference.table.clone()).collect();
        prop_assert_eq!(references, names);
    }
}
