use super::*;
use proptest::prelude::*;

fn tree(edges: &[(&str, Option<&str>)]) -> std::result::Result<Environments, Vec<Flaw>> {
    Environments::new(
        edges
            .iter()
            .map(|(name, parent)| {
                (
                    Environment::new(*name),
                    Rules {
                        parent: parent.map(Environment::new),
                        ..Rules::default()
                    },
                )
            })
            .collect(),
    )
}

fn usual() -> Environments {
    tree(&[
        ("production", None),
        ("staging", Some("production")),
        ("integration", Some("staging")),
        ("elsewhere", None),
    ])
    .unwrap()
}

#[test]
fn what_a_run_replaces_is_no_source() {
    let identity = |thing: Option<&str>, place: &str| Identity {
        thing: thing.map(str::to_owned),
        place: place.to_owned(),
    };
    let source = identity(Some("1/16401"), "1/app_previous");
    for displaced in [
        identity(Some("1/16401"), "1/otherwise"),
        identity(None, "1/app_previous"),
    ] {
        let refused = spared(&source, &displaced).unwrap_err();
        assert_eq!(refused.kind(), Kind::Policy, "{refused}");
    }
    assert!(spared(&source, &identity(Some("1/16402"), "1/app")).is_ok());
    // What is unknown on both sides is not the same.
    let missing = identity(None, "1/elsewhere");
    assert!(spared(&missing, &identity(None, "1/app_previous")).is_ok());
}

#[test]
fn data_flows_to_children_and_grandchildren_only() {
    let all = usual();
    let to = |from: &str, to: &str| permit(&all, &Environment::new(from), &Environment::new(to));
    assert!(to("production", "staging").is_ok());
    assert!(to("production", "integration").is_ok());
    assert!(to("staging", "integration").is_ok());
    for (from, target) in [
        ("staging", "production"),
        ("integration", "staging"),
        ("elsewhere", "staging"),
        ("production", "production"),
        ("production", "elsewhere"),
        ("nowhere", "staging"),
        ("production", "nowhere"),
    ] {
        assert_eq!(
            to(from, target).unwrap_err().kind(),
            Kind::Policy,
            "{from} into {target}"
        );
    }
}

#[test]
fn a_cycle_is_told_once_and_an_unknown_parent_by_name() {
    let flaws = tree(&[
        ("a", Some("c")),
        ("b", Some("a")),
        ("c", Some("b")),
        ("d", Some("x")),
    ])
    .unwrap_err();
    assert_eq!(flaws.len(), 2, "{flaws:?}");
    assert!(
        flaws
            .iter()
            .any(|f| matches!(f, Flaw::Cycle(path) if path.len() == 3))
    );
    assert!(
        flaws
            .iter()
            .any(|f| matches!(f, Flaw::UnknownParent { parent, .. } if parent.as_str() == "x"))
    );
}

#[test]
fn a_push_needs_an_environment_that_it_is_of_and_no_other() {
    let all = usual();
    let push = |from: &str| permit(&all, &Environment::new(from), &Environment::archive());
    for from in ["production", "staging", "integration", "elsewhere"] {
        assert!(push(from).is_ok(), "{from}");
    }
    for from in ["nowhere", "archive"] {
        assert_eq!(push(from).unwrap_err().kind(), Kind::Policy, "{from}");
    }
    // Nothing comes from an archive as such.
    assert!(
        permit(
            &all,
            &Environment::archive(),
            &Environment::new("integration")
        )
        .is_err()
    );
}

#[test]
fn no_environment_has_the_name_that_stands_for_archives() {
    let flaws = tree(&[("production", None), ("archive", Some("production"))]).unwrap_err();
    assert_eq!(flaws, [Flaw::Reserved(Environment::archive())]);
}

#[test]
fn a_snapshot_lands_only_below_its_own_environment_and_where_its_job_says() {
    let all = usual();
    let pull = |origin: &str, from: &str, to: &str| {
        let name = |text: &str| Environment::new(text);
        of_origin(&all, &name(origin), &name(from), &name(to))
            .map_err(|error| (error.kind(), error.to_string()))
    };
    assert_eq!(pull("production", "production", "staging"), Ok(()));
    assert_eq!(pull("staging", "staging", "integration"), Ok(()));
    for (origin, from, to, why) in [
        (
            "staging",
            "staging",
            "production",
            "an archive of `staging` never lands in `production`",
        ),
        (
            "staging",
            "production",
            "staging",
            "an archive of `staging` never lands in `staging`",
        ),
        (
            "elsewhere",
            "production",
            "staging",
            "`elsewhere`, which is not above `staging`",
        ),
        (
            "staging",
            "production",
            "integration",
            "the snapshot is of `staging`, but the job's `from` is `production`",
        ),
        (
            "nowhere",
            "production",
            "staging",
            "`nowhere`, which is not defined here",
        ),
        (
            "production",
            "production",
            "archive",
            "never lands in `archive`",
        ),
    ] {
        let (kind, message) = pull(origin, from, to).unwrap_err();
        assert_eq!(kind, Kind::Policy);
        assert!(message.contains(why), "{why} in {message}");
    }
}

#[test]
fn two_names_for_one_thing_are_caught() {
    let identity = |thing: Option<&str>, place: &str| Identity {
        thing: thing.map(Into::into),
        place: place.into(),
    };
    assert!(distinct(&identity(Some("1/2"), "1/a"), &identity(Some("1/3"), "1/b")).is_ok());
    assert!(distinct(&identity(Some("1/2"), "1/a"), &identity(None, "1/b")).is_ok());
    assert!(distinct(&identity(Some("1/2"), "1/a"), &identity(Some("1/2"), "1/b")).is_err());
    assert!(distinct(&identity(None, "1/a"), &identity(None, "1/a")).is_err());
}

proptest! {
    /// Whatever the forest and whatever a manifest says: what lands is of the job's `from`, from above, and a root
    /// takes nothing.
    #[test]
    fn a_snapshot_never_goes_uphill(parents in proptest::collection::vec(proptest::option::of(0usize..9), 1..9)) {
        let all: BTreeMap<_, _> = parents.iter().enumerate().map(|(i, parent)| {
            let parent = parent.filter(|p| *p < parents.len()).map(|p| Environment::new(p.to_string()));
            (Environment::new(i.to_string()), Rules { parent, ..Rules::default() })
        }).collect();
        if let Ok(forest) = Environments::new(all.clone()) {
            let stranger = Environment::new("stranger");
            for origin in all.keys().chain([&stranger]) {
                for from in all.keys() {
                    for to in all.keys() {
                        let lands = of_origin(&forest, origin, from, to).is_ok();
                        prop_assert_eq!(lands, origin == from && permit(&forest, from, to).is_ok());
                        prop_assert!(!(lands && all[to].parent.is_none()));
                    }
                }
            }
        }
    }

    /// Whatever the forest, permission one way rules out permission the other way, and roots never receive.
    #[test]
    fn permission_never_goes_both_ways(parents in proptest::collection::vec(proptest::option::of(0usize..12), 1..12)) {
        let all: BTreeMap<_, _> = parents.iter().enumerate().map(|(i, parent)| {
            let parent = parent.filter(|p| *p < parents.len()).map(|p| Environment::new(p.to_string()));
            (Environment::new(i.to_string()), Rules { parent, ..Rules::default() })
        }).collect();
        if let Ok(forest) = Environments::new(all.clone()) {
            for a in all.keys() {
                for b in all.keys() {
                    let down = permit(&forest, a, b).is_ok();
                    prop_assert!(!(down && permit(&forest, b, a).is_ok()));
                    prop_assert!(!(down && all[b].parent.is_none()));
                }
            }
        }
    }
}
