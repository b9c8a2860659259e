//! Profiles: the surroundings that a test's servers, files and processes have. Other people's are not like ours: they
//! have settings of their own, owners who are no superusers, other versions on either side, poolers in between,
//! leftovers of somebody else and applications that are at work.
//!
//! Each store has one list of them (`postgres/profiles.rs`, `mysql/profiles.rs`, `sqlite.rs`), and so has the machine
//! that the binary runs on (`host.rs`). **A new profile is one entry in one list.** A suite that runs under profiles asks
//! for [`of_this_test`]: which one it is depends on the test's name alone, so that a failure repeats, and a test that
//! fails says which it was. By hand, names in `ENVSYNCD_TEST_PROFILE` win:
//!
//!     ENVSYNCD_TEST_PROFILE=postgresql/day_first,host/plain cargo test --test it -- conformance::postgresql
//!
//! Servers of a profile are started when the first test of it needs them, and shared by the others. What a run
//! published is held against what the store's own tool brings from the source into a fresh database (`oracle.rs`).

use std::sync::OnceLock;

/// One entry of a list.
pub(crate) trait Profile: Sized + Sync + 'static {
    /// What the list is of: `postgresql`.
    const KIND: &'static str;
    /// All of them. The first is for tests whose name is not known.
    fn all() -> &'static [Self];
    /// What it is called.
    fn name(&self) -> &'static str;
}

/// The profile that the running test is under.
pub(crate) fn of_this_test<P: Profile>() -> &'static P {
    among(|_| true)
}

/// The same from those that suit a suite: there is at least one.
pub(crate) fn among<P: Profile>(suits: impl Fn(&P) -> bool) -> &'static P {
    let suited: Vec<&P> = P::all().iter().filter(|profile| suits(profile)).collect();
    let wanted = wanted::<P>().filter(|wanted| suits(wanted));
    // The test harness calls a test's thread by the test's name.
    let thread = std::thread::current();
    let chosen = wanted.unwrap_or_else(|| match thread.name() {
        Some(test) if test.contains("::") => suited[place(P::KIND, test, suited.len())],
        _ => suited[0],
    });
    tell(chosen);
    chosen
}

/// The profile of this name.
pub(crate) fn named<P: Profile>(name: &str) -> &'static P {
    let found = P::all().iter().find(|profile| profile.name() == name);
    let found = found.unwrap_or_else(|| panic!("there is no profile {}/{name}", P::KIND));
    tell(found);
    found
}

/// Shown if the test fails.
fn tell<P: Profile>(profile: &P) {
    println!("profile: {}/{}", P::KIND, profile.name());
}

/// What a person asked for.
fn wanted<P: Profile>() -> Option<&'static P> {
    static ASKED: OnceLock<String> = OnceLock::new();
    let asked = ASKED.get_or_init(|| std::env::var("ENVSYNCD_TEST_PROFILE").unwrap_or_default());
    asked.split(',').find_map(|one| {
        let (kind, name) = one.trim().split_once('/')?;
        (kind == P::KIND).then(|| named(name))
    })
}

/// A test's place in a list of so many: FNV-1a, which is the same everywhere and always.
fn place(kind: &str, test: &str, count: usize) -> usize {
    let hash = kind
        .bytes()
        .chain(test.bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    // Its low bits follow the last byte's.
    let count = u64::try_from(count).expect("a few");
    usize::try_from((hash ^ (hash >> 32)) % count).expect("less than a few")
}

/// A list of profiles, each with the fields that are not as in `PLAIN`, and `under_each!`, which makes one test for each of
/// them of a function that takes a profile's name.
macro_rules! profiles {
    ($dollar:tt $profile:ident $under_each:ident $($(#[$about:meta])* $name:ident { $($field:ident: $value:expr),* $(,)? })*) => {
        /// All profiles.
        pub(crate) static ALL: &[$profile] = &[$(
            $profile { name: stringify!($name), $($field: $value,)* ..PLAIN }
        ),*];

        #[allow(unused_macros, reason = "not every list has such tests")]
        macro_rules! $under_each {
            ($dollar test:path) => { $(
                #[test]
                fn $name() {
                    $dollar test(stringify!($name));
                }
            )* };
        }
        #[allow(unused_imports, reason = "not every list has such tests")]
        pub(crate) use $under_each;
    };
}
pub(crate) use profiles;

#[test]
fn a_test_is_always_under_the_same_profile_and_every_profile_has_tests() {
    assert_eq!(
        place("postgresql", "conformance::postgresql::x", 12),
        place("postgresql", "conformance::postgresql::x", 12)
    );
    let names = (0..200).map(|n| format!("conformance::test_{n}"));
    let taken: std::collections::BTreeSet<usize> =
        names.map(|name| place("mysql", &name, 13)).collect();
    assert_eq!(taken.len(), 13);
}
