//! Tables are keyed at random, each by its own key.

use std::process::Command;

/// The keys of tables, for whoever asks in another process.
const TELL: &str = "DURAMEN_TELL_A_HASH";

/// Neither another table nor another process hashes alike, so that nobody can know which ids collide.
#[test]
fn tables_have_keys_of_their_own() {
    let hash = || ahash::RandomState::new().hash_one("User");
    if std::env::var_os(TELL).is_some() {
        println!("hash {}", hash());
        return;
    }
    assert_ne!(hash(), hash());
    let elsewhere = || {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args([
            "--exact",
            "keys::tables_have_keys_of_their_own",
            "--nocapture",
        ]);
        let out = child.env(TELL, "1").output().unwrap().stdout;
        let out = String::from_utf8(out).unwrap();
        let told = out.lines().find_map(|line| line.split_once("hash "));
        told.unwrap().1.to_owned()
    };
    assert_ne!(elsewhere(), elsewhere());
    // No table of the crate chooses its keys.
    for text in super::documents::sources_of("src") {
        let chosen = ["with_seed", "generate_with", "FixedState"];
        assert!(!chosen.iter().any(|way| text.contains(way)), "{text}");
    }
}
